"""How close the tasks come to what the servers allow: `python -m tests.benchmarks --list`."""
