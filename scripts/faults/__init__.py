"""The faults that scripts/torture.py injects, each a generator of what came of it."""
