"""The HTTP API, an application of its own: `python -m tools.api`."""
