"""The tasks, one module for each queue."""
