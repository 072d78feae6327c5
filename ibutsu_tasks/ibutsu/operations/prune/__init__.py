"""Deleting what a retention rule says is old, with all its dependants."""
