"""Draws a report again and again while its runs go on."""

import datetime
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bn_repro.errors import UserError
from bn_repro.run_folder import files
from bn_repro.run_folder.records import Run

PAUSE = 60.0  # seconds from one report to the next
NICENESS = 10  # the runs come first


def watch(draw: Callable[[str], list[Run]], workdir, pause: float = PAUSE) -> None:
    """Draws a report every minute and prints how the runs stand, until Ctrl-C.

    Nothing is drawn while no run writes. What cannot be read yet is said, and tried
    again: a sweep may not have begun.

    Args:
      draw: takes the time of day as text and returns the runs.
      workdir: their folder.
      pause: seconds from one look at it to the next.
    """
    os.nice(NICENESS)
    before = None
    try:
        while True:
            written = _written(workdir)
            if written != before:
                now = datetime.datetime.now().strftime("%H:%M:%S")
                told, is_drawn = _drawn(draw, now)
                print(f"{now}  {told}", flush=True)
                before = written if is_drawn else None
            time.sleep(pause)
    except KeyboardInterrupt:
        print("no longer watched; the same command without --watch draws the last page")


def _written(workdir) -> dict[Path, float]:
    """Returns when each record was written last; {} if one goes away meanwhile."""
    found = ((folder, n) for folder, _, names in files.walk(workdir) for n in names)
    paths = (Path(folder, name) for folder, name in found if name[0] != ".")
    try:
        kinds = (".json", ".jsonl", ".npz")
        return {path: path.stat().st_mtime for path in paths if path.suffix in kinds}
    except OSError:
        return {}


def _drawn(draw: Callable[[str], list[Run]], now: str) -> tuple[str, bool]:
    """Returns what to print, and whether the report is drawn."""
    try:
        runs = draw(now)
    except UserError as error:
        return f"nothing to draw yet: {error}", False
    counts = Counter(run.status["status"] for run in runs)
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    return f"{len(runs)} runs: {told}", True
