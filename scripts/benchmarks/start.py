"""How long a command takes to answer --help, and a second start to a first one."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import TINY
from benchmarks.timing import Figure, Row, alternate, missing, ratio
from bn_repro.cli import ROOT

INCEPTION = ["--config=configs/tiny_imagenet.py:bn_x5_seed0"]
SMALL = {
    "steps": 2,
    "data.limit": 64,
    "eval.batch_size": 32,
    "eval.population_batches": 2,
    "eval.population_batches_during": 2,
    "probe.examples": 64,
    "data.train": TINY,
    "data.val": TINY,
}


def measure(toy: bool = False):
    """Yields the seconds of `scripts/train.py --help`, and what kept programs save."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--help"]
    run = lambda: subprocess.run(command, stdout=subprocess.DEVNULL)  # noqa: E731
    seconds = alternate({"help": run}, 1 if toy else 5)["help"]
    what = "Start: seconds of scripts/train.py --help"
    yield Row(what, seconds.median, "< 2", "time", (), [seconds])
    if not TINY.exists():
        yield missing(f"Start: no {TINY.name}")
    elif not toy:
        yield ratio("Start: Inception's second / first", *starts(), "<= 0.3")


def starts() -> list[Figure]:
    """Returns the seconds of two steps whose programs are kept, and of the first."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        kept = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/programs"}
        for run in ("first", "second"):
            command = [sys.executable, str(ROOT / "scripts" / "train.py"), *INCEPTION]
            command += [f"--config.{key}={value}" for key, value in SMALL.items()]
            command += [f"--workdir={Path(folder, run)}"]
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=kept)
            seconds.append(Figure(run, [time.perf_counter() - start], "s"))
    return seconds[::-1]
