"""Text as people, terminals and tables can have it; needs the standard library alone."""
