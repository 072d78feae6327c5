"""What a client does with a task: check its arguments, send its message, wait for its result."""
