"""Deleting what a retention rule says is old, with everything that hangs on it."""
