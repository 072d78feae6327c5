"""Pages of results or runs for the API: filters in, JSON rows out."""
