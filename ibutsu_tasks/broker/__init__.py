"""The Redis of the broker: clients, how Celery lies in it, and what workers of all kinds share there."""
