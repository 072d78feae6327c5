"""A task package with odd tables, whose old rows go by retention rules."""
