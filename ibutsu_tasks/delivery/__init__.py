"""What becomes of messages between the broker and a task, whatever they hold."""
