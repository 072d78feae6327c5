"""One file per command: its options, its help text, one call."""
