"""One file per command: a signature, a help text, one call."""
