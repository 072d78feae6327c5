"""A task package as somebody else would write it."""
