"""Members of a sweep a second: a worker on each core, and one after another."""

import subprocess
import sys
import tempfile
import time

from benchmarks.timing import Figure, ratio
from bn_repro.cli import ROOT
from bn_repro.run_folder.manifest import available_cores

MEMBERS = [f"{arm}_seed{seed}" for seed in range(4) for arm in ("plain", "bn")]
STEPS = 20_000


def measure(toy: bool = False):
    """Yields the ratio of members a second; the start of Python is counted in both."""
    members, steps = (MEMBERS[:2], 2) if toy else (MEMBERS, STEPS)
    both = ("here", "processes")
    taken = (Figure(who, [run(who, members, steps)], "s") for who in both)
    here, processes = (figure.per_second(len(members), "members/s") for figure in taken)
    detail = f"{len(members)} members of {steps:,} steps, {available_cores()} cores"
    what = "MNIST sweep: members/s over one process"
    yield ratio(what, processes, here, ">= 1.8", detail)


def run(executor: str, members: list[str], steps: int) -> float:
    """Returns the seconds that the sweep takes as a command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(ROOT / "scripts" / "sweep.py"),
            "--config=configs/mnist.py",
            f"--only={','.join(members)}",
            f"--workdir={folder}",
            f"--executor={executor}",
            f"--config.steps={steps}",
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start
