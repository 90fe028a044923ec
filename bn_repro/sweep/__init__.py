"""Runs every entry of a config file's RUNS, each in a run folder of its own.

Nothing here imports JAX before it is used: a worker takes its cores before that.
"""

from bn_repro.sweep.executors import EXECUTORS, run
from bn_repro.sweep.plan import Planned, dry_run, listing, members, of_files, share

__all__ = [
    "EXECUTORS",
    "Planned",
    "dry_run",
    "listing",
    "members",
    "of_files",
    "run",
    "share",
]
