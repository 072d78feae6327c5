"""Archives of what a prune deletes: read from the database, written, and read back before anything goes."""
