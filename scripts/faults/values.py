"""Numbers that overflow, pictures that do not decode, and half an hour of a run."""

import contextlib
import functools
import itertools
import os
import random
import signal
import statistics
import time
from pathlib import Path

from faults import runs


def overflow(folder: Path, scale: float):
    """Rates and initial weights that overflow: no file holds what is not finite."""
    import numpy as np

    rates, nonlinearities = (1e10, 1e20, 1e30, 1e38), ("relu", "sigmoid")
    weights, norms = (1e10, 1e20, 3e38), ("none", "batch_norm")
    hostile = [
        {"optimizer.learning_rate": rate, "model.nonlinearity": nonlinearity}
        for rate, nonlinearity in itertools.product(rates, nonlinearities)
    ] + [
        {"model.init_stddev": w, "model.nonlinearity": "relu", "model.norm": norm}
        for w, norm in itertools.product(weights, norms)
    ]
    for values in hostile if scale >= 1 else random.sample(hostile, 3):
        config = runs.mnist(steps=40, **values)
        ended = runs.run(config, workdir := runs.new(folder))
        bad = [
            f"{file.name} {name}"
            for file in [*workdir.glob("weights.npz"), *workdir.glob("checkpoints/*")]
            for name, x in np.load(file).items()
            if x.dtype.kind == "f" and not np.isfinite(x).all() and "sums" not in name
        ]
        what = f"{values}: {ended} {bad}"
        fault = "rates and initial weights that overflow"
        yield fault, ended in (0, 2) and not bad, bool(bad), what


def broken(folder: Path, scale: float):
    """Pictures that cannot be decoded, by kind."""
    root = runs.write_pictures(folder / "pictures")
    good = (root / "train/class_0/0.JPEG").read_bytes()
    kinds = {
        "cut": good[: len(good) // 2],
        "zeros": good[:300] + bytes(len(good) - 300),
        "page": b"<html>404</html>",
        "empty": b"",
        "noise": random.randbytes(2000),
        "link": None,
    }
    for (kind, bytes_), workers in itertools.product(kinds.items(), (0, 2)):
        if random.random() > scale:
            continue
        path = root / f"train/class_0/{kind}.JPEG"
        path.symlink_to("nowhere") if bytes_ is None else path.write_bytes(bytes_)
        more = {"data.workers": workers, "model.name": "mlp"}
        config = runs.pictures(root, **more, **{"data.max_bad_fraction": 0.5})
        ended = runs.run(config, workdir := runs.new(folder))
        path.unlink()
        text = runs.log(workdir)
        named = f"{kind}.JPEG" in text and "Traceback" not in text
        what = f"{kind} {ended} {text[-400:]}"
        yield "a broken picture", ended == 0 and named, ended == 0 and not named, what


def long(folder: Path, scale: float):
    """Half an hour of a streamed run with BN, once compiled: what it holds."""
    from bn_repro.data import stream

    more = {"log_every": 100, "eval.every": 500, "probe.every": 1000}
    more |= {"checkpoint.every": 500, "data.workers": 1, "steps": 10_000_000}
    config = runs.pictures(runs.write_pictures(folder / "pictures"), **more)
    # Of several threads that read a worker starts some late, when reads first overlap.
    one_thread = functools.partial(setattr, stream, "READ_THREADS", 1)
    child, samples = runs.start(config, folder / "run", one_thread), []
    while not any((folder / "run/checkpoints").glob("*.npz")):
        time.sleep(1)  # it compiles
    until = time.monotonic() + 1800 * scale
    while time.monotonic() < until:
        time.sleep(18 * scale)
        samples.append(_usage(child))
    os.kill(child, signal.SIGTERM)
    ended, fifth = runs.wait(child), len(samples) // 5
    begun, end = (  # what ended evaluations held stays until Python collects it
        [statistics.median(part[0]), *map(min, part[1:])]
        for part in (
            list(zip(*half, strict=True))
            for half in (samples[fifth : 2 * fifth], samples[-fifth:])
        )
    )
    flat = end[0] < 1.02 * begun[0] and end[1] <= begun[1] and end[2] <= begun[2]
    name = (
        f"{30 * scale:.0f} minutes of a streamed run with BN: memory from "
        f"{begun[0]:.0f} to {end[0]:.0f} MB after the first fifth, "
        f"{begun[1]:.0f} to {end[1]:.0f} descriptors, {begun[2]:.0f} to "
        f"{end[2]:.0f} threads"
    )
    yield name, ended == 0 and flat, False, f"{ended} {runs.log(folder / 'run')[-400:]}"


def _usage(child: int) -> tuple[float, int, int]:
    """Returns MB of memory, descriptors and threads of a run and its workers."""
    import psutil

    def of(process):
        memory = process.memory_full_info().pss / 1e6
        return memory, process.num_fds(), process.num_threads()

    run = psutil.Process(child)
    found = [of(run)]
    for worker in run.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # an evaluation's has ended
            found.append(of(worker))
    return tuple(map(sum, zip(*found, strict=True)))
