"""How long a command takes to answer --help."""

import subprocess
import sys

from benchmarks.timing import Row, alternate
from bn_repro.cli import ROOT


def measure(toy: bool = False):
    """Yields the seconds of `scripts/train.py --help`."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"]
    run = lambda: subprocess.run(command, stdout=subprocess.DEVNULL)  # noqa: E731
    seconds = alternate({"help": run}, 1 if toy else 5)["help"]
    what = "Start: seconds of scripts/train.py --help"
    yield Row(what, seconds.median, "< 2", "time", (), [seconds])
