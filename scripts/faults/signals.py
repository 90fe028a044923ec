"""Signals at any moment: to a run, its workers, its other process."""

import contextlib
import functools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bn_repro import cli
from faults import files, runs


def chain(config, folder: Path, whole, seconds: float, kills: int):
    """Kills one run again and again, also while it resumes, then lets it end."""
    workdir, made = runs.new(folder), 0
    while made < kills:
        if made % 2:
            act = functools.partial(files.die, random.random())
            before = functools.partial(runs.faulty, random.randint(1, 40), act)
            ended = runs.wait(runs.start(config, workdir, before))
        else:
            after = random.uniform(0, seconds)
            ended = runs.wait(runs.start(config, workdir), after)
        if ended not in (None, -signal.SIGKILL):
            break  # it came to its end
        made += 1
    return made * [runs.after(config, workdir, whole)]


def kills(config, folder: Path, total: int):
    """Yields the outcome of each of so many kills of runs of a configuration."""
    whole, seconds = runs.reference(config, folder)
    while total > 0:
        made = chain(config, folder, whole, seconds, min(10, total))
        total -= len(made)
        yield from made


def kill(folder: Path, scale: float):
    """SIGKILL at random instants and inside of writes, on MNIST."""
    for outcome in kills(runs.mnist(), folder, max(4, round(120 * scale))):
        yield "SIGKILL, half of them at system calls of writes (MNIST)", *outcome


def stream(folder: Path, scale: float):
    """SIGKILL while pictures are streamed."""
    root = runs.write_pictures(folder / "pictures")
    for workers in (0, 2):
        config = runs.pictures(root, **{"data.workers": workers})
        (below := folder / f"workers_{workers}").mkdir()
        for outcome in kills(config, below, max(2, round(10 * scale))):
            yield f"SIGKILL, pictures streamed by {workers} workers", *outcome


def workers(folder: Path, scale: float):
    """Decoding workers that are killed, SIGTERM to them and their run."""
    root = runs.write_pictures(folder / "pictures")
    config = runs.pictures(root, **{"data.workers": 2, "model.name": "mlp"})
    whole, seconds = runs.reference(config, folder)
    for _ in range(max(1, round(8 * scale))):
        child = runs.start(config, workdir := runs.new(folder))
        victims = _workers(child)
        os.kill(random.choice(victims), signal.SIGKILL)
        ended = runs.wait(child)
        text = Path(f"{workdir}.log").read_text()
        good = ended == 0 or (ended == 2 and runs.one_line(text) and "memory" in text)
        outcome = runs.after(config, workdir, whole, good, ended)
        yield "a decoding worker killed", *outcome
    for _ in range(max(1, round(8 * scale))):
        child = runs.start(config, workdir := runs.new(folder), os.setsid)
        time.sleep(random.uniform(0.2, seconds))
        os.killpg(child, signal.SIGTERM)
        ended = runs.wait(child)
        good = ended in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        name = "SIGTERM to a run and its decoding workers"
        yield name, *runs.after(config, workdir, whole, good, ended)


def _workers(child: int) -> list[int]:
    """Returns the ids of the decoding workers of a run once it has some."""
    import psutil

    while True:
        below = psutil.Process(child).children()
        with contextlib.suppress(psutil.Error):
            found = [p.pid for p in below if "spawn_main" in " ".join(p.cmdline())]
            if found:
                return found
        time.sleep(0.01)


def preempt(folder: Path, scale: float):
    """SIGTERM and SIGINT at random instants; where ignored; to one of two processes."""
    whole, seconds = runs.reference(runs.mnist(), folder)
    for name, number in (("SIGTERM", signal.SIGTERM), ("Ctrl-C", signal.SIGINT)):
        for _ in range(max(2, round(12 * scale))):
            child = runs.start(runs.mnist(), workdir := runs.new(folder))
            time.sleep(random.uniform(0, seconds))
            os.kill(child, number)
            good = (ended := runs.wait(child)) in (0, 128 + number, -number)
            outcome = runs.after(runs.mnist(), workdir, whole, good, ended)
            yield f"{name} at random instants", *outcome
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    for _ in range(max(1, round(4 * scale))):
        child = runs.start(runs.mnist(), workdir := runs.new(folder), ignore)
        time.sleep(random.uniform(seconds / 2, seconds))
        os.kill(child, signal.SIGINT)
        same = (ended := runs.wait(child)) == 0 and runs.content(workdir) == whole
        what = f"{ended} {runs.log(workdir)[-400:]}"
        yield "Ctrl-C where it is ignored (& in a script)", same, False, what
    runs.wait(_pair(runs.mnist(), folder / "pair"))
    whole = runs.content(folder / "pair")
    for i in range(max(1, round(4 * scale))):
        child = _pair(runs.mnist(), workdir := runs.new(folder), signaled=i % 2)
        ended = runs.wait(child)
        outcome = runs.after(runs.mnist(), workdir, whole, ended == 0, ended, _pair)
        yield "SIGTERM to one of two processes of a run", *outcome


def _pair(config, workdir: Path, signaled: int | None = None) -> int:
    """As `start`, of two processes; one may get SIGTERM after its first checkpoint."""
    if child := os.fork():
        return child
    from bn_repro import parallel

    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    joins = [functools.partial(parallel.initialize, address, 2, i) for i in (0, 1)]
    both = [runs.start(config, workdir, join) for join in joins]
    if signaled is not None:
        while not any((workdir / "checkpoints").glob("*.npz")):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
        os.kill(both[signaled], signal.SIGTERM)
    os._exit(any(runs.wait(each) != 0 for each in both))


def early(folder: Path, scale: float):
    """Ctrl-C in the first seconds of the command itself, imports included."""
    import psutil

    endless = runs.MNIST | {"steps": 100_000}
    values = [f"--config.{key}={value}" for key, value in endless.items()]
    script = str(cli.ROOT / "scripts" / "train.py")
    command = [sys.executable, script, "--config=configs/mnist.py:bn", *values]
    for _ in range(max(2, round(16 * scale))):
        words = [*command, f"--workdir={runs.new(folder)}"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        child = subprocess.Popen(words, **pipes, text=True)
        while sum(psutil.Process(child.pid).cpu_times()[:2]) < 0.2:
            time.sleep(0.01)  # Python itself starts
        time.sleep(random.uniform(0, 5))
        child.send_signal(signal.SIGINT)
        try:
            errors = child.communicate(timeout=300)[1]
        except subprocess.TimeoutExpired:
            child.kill()
            errors = child.communicate()[1] + "it went on"
        lines = [line for line in errors.splitlines() if "interrupt" in line.lower()]
        good = child.returncode == 130 and "Traceback" not in errors
        what = f"{child.returncode}: {errors[-400:]}"
        yield "Ctrl-C in the first seconds", good and len(lines) <= 1, False, what


def two(folder: Path, scale: float):
    """A second process on the folder of a run."""
    whole, seconds = runs.reference(runs.mnist(), folder)
    for _ in range(max(2, round(10 * scale))):
        first = runs.start(runs.mnist(), workdir := runs.new(folder))
        time.sleep(random.uniform(0, seconds / 2))
        second = runs.start(runs.mnist(), workdir)
        ended = sorted(runs.wait(child) for child in (first, second))
        refused = "is being written by process" in (text := runs.log(workdir))
        same = runs.content(workdir) == whole
        good = same and (ended == [0, 2] and refused or ended == [0, 0])
        yield "two processes on one folder", good, not same, f"{ended} {text[-400:]}"
