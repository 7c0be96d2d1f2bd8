"""The tests, and what holds for every process that they start."""

import os

# Two threads that wait for each other on a machine with other work take ten times as long as one.
os.environ["OMP_NUM_THREADS"] = "1"
# Without bytecode each of some hundred processes compiles what it imports, which doubles its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
