"""JUnit XML in all its dialects, read as a stream."""
