"""The embedded PostgreSQL and Valkey that all processes on one data directory share."""
