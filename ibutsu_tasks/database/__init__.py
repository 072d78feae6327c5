"""The connection to PostgreSQL, the tables of task packages, and their indexes."""
