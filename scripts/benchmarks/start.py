"""How long a command takes to answer --help."""

import subprocess
import sys

from benchmarks.timing import Row, alternate
from bn_repro.cli import ROOT


def measure():
    """Yields the seconds of `scripts/train.py --help`."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"]
    run = lambda: subprocess.run(command, stdout=subprocess.DEVNULL)  # noqa: E731
    yield Row(
        "seconds of scripts/train.py --help", alternate({"help": run}, 5)["help"], "< 2"
    )
