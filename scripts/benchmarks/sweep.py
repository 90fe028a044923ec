"""Members of a sweep a second: a worker on each core, and one after another."""

import subprocess
import sys
import tempfile
import time

from benchmarks.timing import Row
from bn_repro.cli import ROOT
from bn_repro.run_folder.manifest import available_cores

MEMBERS = [f"{arm}_seed{seed}" for seed in range(4) for arm in ("plain", "bn")]
STEPS = 20_000


def measure():
    """Yields the ratio of members a second; the start of Python is counted in both."""
    seconds = {executor: run(executor) for executor in ("here", "processes")}
    detail = ", ".join(f"{k} {v:,.0f} s" for k, v in seconds.items())
    detail += f", {len(MEMBERS)} members of {STEPS:,} steps, {available_cores()} cores"
    ratio = seconds["here"] / seconds["processes"]
    what = "MNIST sweep: members/s over one process"
    yield Row(what, ratio, ">= 1.8 on 2 cores", detail)


def run(executor: str) -> float:
    """Returns the seconds that the sweep takes as a command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(ROOT / "scripts" / "sweep.py"),
            "--config=configs/mnist.py",
            f"--only={','.join(MEMBERS)}",
            f"--workdir={folder}",
            f"--executor={executor}",
            f"--config.steps={STEPS}",
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start
