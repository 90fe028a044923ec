"""Runs to inject faults into: processes of their own, and what they have to leave."""

import contextlib
import io
import itertools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from bn_repro import cli, config_files

COMMON = {
    "steps": 200,
    "steps_per_call": 5,
    "log_every": 20,
    "eval.every": 40,
    "eval.batch_size": 200,
    "eval.population_batches_during": 0,
    "probe.every": 50,
    "probe.examples": 60,
    "checkpoint.every": 10,
    "optimizer.momentum": 0.9,
}
MNIST = COMMON | {"model.hidden": (20,), "data.limit": 400}
PICTURES = COMMON | {
    "steps": 12,
    "steps_per_call": 2,
    "log_every": 3,
    "batch_size": 8,
    "reference_batch": 8,
    "bn.batch": "global",
    "model.width": 0.125,
    "model.hidden": (12, 9),
    "data.classes": 3,
    "data.image_size": 32,
    "data.eval_resize": 36,
    "eval.every": 6,
    "eval.early_every": 0,
    "eval.batch_size": 6,
    "probe.every": 0,
    "probe.steps": (),
    "probe.log_spaced": 0,
    "checkpoint.every": 3,
}
CALLS = ("fsync", "replace", "unlink")  # of os; and the writes of our files


def mnist(**overrides):
    config = config_files.load("mnist:bn")
    config.update_from_flattened_dict(MNIST | overrides)
    return config


def pictures(root: Path, **overrides):
    config = config_files.load("tiny_imagenet:bn_x30")
    paths = {f"data.{split}": str(root / split) for split in ("train", "val")}
    network = {"model.name": flags.FLAGS.network}
    config.update_from_flattened_dict(PICTURES | paths | network | overrides)
    return config


def write_pictures(root: Path) -> Path:
    """Writes 3 classes of 9 training and 4 validation pictures, noise; returns root."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 4)):
        for i in range(3 * count):
            path = root / split / f"class_{i % 3}" / f"{i}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            small = rng.integers(0, 256, (5, 5, 3), np.uint8)
            cv2.imwrite(str(path), cv2.resize(small, (50 - i % 5, 40 + i % 7)))
    return root


def start(config, workdir: Path, before=lambda: None) -> int:
    """Returns the id of a process that trains, forked; it appends to a log beside."""
    if child := os.fork():
        return child
    status = 1
    with contextlib.suppress(BaseException):
        log = os.open(f"{workdir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            status = _train(config, workdir, before)
        except SystemExit as end:
            status = end.code
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _train(config, workdir, before) -> int:
    from bn_repro import interrupt, loop

    interrupt.install()
    before()
    return cli.guarded(lambda: interrupt.exit_status(loop.run(config, workdir)))


def wait(child: int, seconds: float = 1800) -> int | None:
    """Returns how a process ended: its status, -signal, or None if it hung."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run(config, workdir: Path, before=lambda: None) -> int | None:
    """Trains in a process of its own and returns how that ended, see `wait`."""
    return wait(start(config, workdir, before))


def log(workdir: Path) -> str:
    """Returns what the runs of a folder printed, and empties the log."""
    path = Path(f"{workdir}.log")
    text = path.read_text() if path.exists() else ""
    path.write_text("")
    return text


def one_line(text: str) -> bool:
    return text.count("error: ") == 1 and "Traceback" not in text


def content(workdir: Path) -> dict:
    """Returns what a run leaves that must not depend on faults, by name, as bytes."""
    from bn_repro.run_folder import checkpoint, records

    made = records.read_run(workdir)
    step, arrays, _ = checkpoint.latest(workdir, made.config)
    arrays |= checkpoint.read(workdir / checkpoint.WEIGHTS)
    arrays |= {f"hits {name}": x for name, x in made.hits.items()}
    arrays |= {f"probe {name}": x for name, x in (made.activations or {}).items()}
    del arrays["seconds"]
    found = {n: x if isinstance(x, list) else x.tobytes() for n, x in arrays.items()}
    rows = [{k: v for k, v in r.items() if k != "seconds"} for r in made.metrics]
    return found | {"rows": rows, "status": made.status, "step": step}


def reference(config, folder: Path) -> tuple[dict, float]:
    """Returns the content of a run that meets no fault, and the seconds it took."""
    run(config, folder / "warm")  # compiles
    began = time.monotonic()
    if run(config, folder / "whole") != 0:
        raise RuntimeError(f"the run without a fault failed: {log(folder / 'whole')}")
    return content(folder / "whole"), time.monotonic() - began


def new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / "run"


def after(config, workdir: Path, whole, good: bool = True, what="", begin=start):
    """Lets a run end after a fault; returns (survived, silent, what happened)."""
    text = log(workdir)
    ended = wait(begin(config, workdir))
    same = ended == 0 and content(workdir) == whole
    good = good and same and "Traceback" not in text
    what = f"{what}: {text[-400:]} then {ended}: {log(workdir)[-400:]}"
    return good, ended == 0 and not same, what


def faulty(at: int, act) -> None:
    """Has the at-th write, fsync, replace or unlink of this process do `act` instead.

    `at` counts from 1, 0 is all of them; `act` takes the real call and its arguments.
    """
    from bn_repro.run_folder import files, writer

    made = itertools.count(1)

    def wrap(real):
        def call(*arguments, **named):
            if next(made) == at or not at:
                return act(real, arguments)
            return real(*arguments, **named)

        return call

    class File(io.FileIO):
        write = wrap(io.FileIO.write)

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))

    def opened(path, mode, *_, **__):
        return File(path, mode.replace("b", ""))

    files.open = writer.open = opened
