"""Everything in one terminal: embedded servers and a supervisor for the roles."""
