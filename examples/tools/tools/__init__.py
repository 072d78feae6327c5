"""A runner of tools: programs with limits, whose log is in rows, behind an HTTP API."""
