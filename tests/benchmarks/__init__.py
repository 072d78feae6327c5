"""How close the tasks come to what the servers allow: `python -m tests.benchmarks --list`."""

import os
import tempfile

# On the disk: what the tests share with them goes to memory where nobody says otherwise.
os.environ.setdefault("TMPDIR", tempfile.gettempdir())
