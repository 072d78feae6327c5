"""One check per file: what it looks at, and how it judges what it saw."""
