"""One view over all members of a sweep, and the log that each of them keeps."""

import datetime
import time
from pathlib import Path

from bn_repro.run_folder import records
from bn_repro.run_folder.checks import STATUSES
from bn_repro.sweep.plan import Planned

LOG = "log.txt"  # what a member prints, in its run folder
EVERY = 10.0  # seconds between two views


class Progress:
    """Prints how the sweep goes: who ended how, and now and then who is how far."""

    def __init__(self, total: int, done: int):
        """Takes the number of members and how many of them have ended before."""
        self._total, self._before, self._done = total, done, done
        self._started = self._last = time.monotonic()
        self._held = ""

    def tell(self, member: Planned, what: str) -> None:
        """Prints a line about one member."""
        print(f"{member.name}: {what}", flush=True)

    def ended(self, member: Planned, outcome: str) -> None:
        """Prints how a member ended, and how many have."""
        if outcome == "interrupted":
            self.tell(member, outcome)
            return
        self._done += 1
        if outcome in records.ENDED:
            run = records.read_run(member.workdir)
            outcome = f"{outcome} at step {run.status['step']:,}{accuracy(run)}"
        self.tell(member, f"{outcome} ({self._done} of {self._total}{self._left()})")

    def held(self, members: list[Planned]) -> None:
        """Prints which members another sweep is at, when these change."""
        names = ", ".join(member.name for member in members)
        if names != self._held:
            print(f"another process is at {names}; waiting for it", flush=True)
        self._held = names

    def show(self, running: list[Planned]) -> None:
        """Prints the last line of each running member's log, if it is time to."""
        now = time.monotonic()
        if not running or now < self._last + EVERY:
            return
        self._last = now
        for member in running:
            self.tell(member, last_line(member.workdir / LOG))
        waiting = self._total - self._done - len(running)
        print(f"({self._done} have ended, {waiting} are waiting)", flush=True)

    def _left(self) -> str:
        here, left = self._done - self._before, self._total - self._done
        if not left:
            return ""
        seconds = round((time.monotonic() - self._started) / here * left)
        return f", about {datetime.timedelta(seconds=seconds)} left"


def last_line(path: Path) -> str:
    """Returns the last line that the loop or the commands print; XLA prints too.

    With the last accuracy on held-out data, and its step, where it is known.
    """
    ours = ("step ", "Resuming", "compiling ", "error:", *STATUSES)
    lines = path.read_text().splitlines() if path.exists() else []
    last = next((line for line in lines[::-1] if line.startswith(ours)), "starting")
    told = [line for line in lines if line.startswith("evaluated ")]
    if last.startswith("step ") and told:
        return f"{last}  {told[-1].removeprefix('evaluated ')}"
    return last


def accuracy(run: records.Run) -> str:
    """Returns a run's last held-out accuracy, after a comma; "" if there is none."""
    found = [
        row
        for row in run.metrics
        if row["split"] != "train" and row["statistics"] != "batch"
    ]
    if not found or found[-1].get("accuracy") is None:
        return ""
    last = found[-1]
    return f", {last['split']} accuracy {last['accuracy']:.4f} ({last['statistics']})"
