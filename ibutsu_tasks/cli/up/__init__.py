"""The command `up`: a whole system in one terminal."""
