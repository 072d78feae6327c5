"""What commands and tasks do: plain functions on a session and values, returning frozen results."""
