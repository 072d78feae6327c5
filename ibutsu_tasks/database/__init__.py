"""The connection to PostgreSQL and the tables the tasks touch."""
