"""Draws a report again and again while its runs go on."""

import datetime
import os
import time
from collections import Counter
from collections.abc import Callable

from bn_repro.errors import UserError
from bn_repro.run_folder.records import Run

PAUSE = 60.0  # seconds from one report to the next
NICENESS = 10  # the runs come first


def watch(draw: Callable[[str], list[Run]], pause: float = PAUSE) -> None:
    """Draws a report every minute and prints how the runs stand, until Ctrl-C.

    What cannot be read yet is said, and tried again: a sweep may not have begun. `draw`
    takes the time of day as text and returns the runs; `pause` is in seconds.
    """
    os.nice(NICENESS)
    try:
        while True:
            now = datetime.datetime.now().strftime("%H:%M:%S")
            print(f"{now}  {_drawn(draw, now)}", flush=True)
            time.sleep(pause)
    except KeyboardInterrupt:
        print("no longer watched; the same command without --watch draws the last page")


def _drawn(draw: Callable[[str], list[Run]], now: str) -> str:
    try:
        runs = draw(now)
    except UserError as error:
        return f"nothing to draw yet: {error}"
    counts = Counter(run.status["status"] for run in runs)
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    return f"{len(runs)} runs: {told}"
