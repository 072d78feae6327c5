"""The numbers of the whole fleet, read from Redis and PostgreSQL, as Prometheus reads them."""
