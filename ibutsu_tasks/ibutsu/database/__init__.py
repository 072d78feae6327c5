"""The tables that the Ibutsu API server owns, and rows in bulk."""
