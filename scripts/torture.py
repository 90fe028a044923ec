r"""Injects faults into real runs and counts: fault x injected x survived x silent.

python scripts/torture.py --out results/reliability.md      # everything, 30 minutes
python scripts/torture.py --only kill,disk --scale 0.1

A run survives a fault if it ends bit for bit as one that met none, or if it says in one
line what is wrong and loses nothing. It is silent if it ends differently and does not
say so: that must never be. Every run is a process of its own, forked before JAX starts.
"""

import concurrent.futures
import contextlib
import errno
import functools
import io
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from bn_repro import cli

_ONLY = flags.DEFINE_list("only", [], "Parts to run; all if empty.")
_SCALE = flags.DEFINE_float("scale", 1.0, "Factor on the number of injections.")
_OUT = flags.DEFINE_string(
    "out", "", "File that the table is added to; empty: print it only."
)
_NETWORK = flags.DEFINE_string("network", "inception", "On pictures: inception or mlp.")
_JOBS = flags.DEFINE_integer("jobs", 2, "Parts to run at a time.")
_SEED = flags.DEFINE_integer("seed", 0, "Of where and when faults are injected.")
_MINUTES = flags.DEFINE_float("minutes", 60.0, "No part injects more after so long.")

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
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def mnist(**overrides):
    from configs import mnist as file

    config = file.get_config("bn")
    config.update_from_flattened_dict(MNIST | overrides)
    return config


def pictures(root: Path, **overrides):
    from configs import tiny_imagenet as file

    config = file.get_config("bn_x30")
    paths = {f"data.{split}": str(root / split) for split in ("train", "val")}
    network = {"model.name": _NETWORK.value}
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


def wait(child: int, seconds: float = 600) -> int | None:
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

    run = records.read_run(workdir)
    step, arrays, _ = checkpoint.latest(workdir, run.config)
    arrays |= checkpoint.read(workdir / checkpoint.WEIGHTS)
    arrays |= {f"hits {name}": x for name, x in run.hits.items()}
    arrays |= {f"probe {name}": x for name, x in (run.activations or {}).items()}
    del arrays["seconds"]
    found = {n: x if isinstance(x, list) else x.tobytes() for n, x in arrays.items()}
    rows = [{k: v for k, v in r.items() if k != "seconds"} for r in run.metrics]
    return found | {"rows": rows, "status": run.status, "step": step}


def reference(config, folder: Path) -> tuple[dict, float]:
    """Returns the content of a run that meets no fault, and the seconds it took."""
    wait(start(config, folder / "warm"))  # compiles
    began = time.monotonic()
    if wait(start(config, folder / "whole")) != 0:
        raise SystemExit(f"the run without a fault failed: {log(folder / 'whole')}")
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

    Args:
      at: 1 is the first; 0 stands for all of them.
      act: called with (the real call, its arguments).
    """
    from bn_repro.run_folder import files, records

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
    files.open = records.open = lambda path, mode, *_, **__: File(
        path, mode.replace("b", "")
    )


def die(draw: float, real, arguments):
    """Kills this process before the call, after it, or in the middle of a write."""
    if draw < 0.4 and isinstance(arguments[-1], bytes):
        real(*arguments[:-1], arguments[-1][: len(arguments[-1]) // 2])
    elif draw < 0.7:
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int, real, arguments):
    raise OSError(number, os.strerror(number))


def chain(config, folder: Path, whole, seconds: float, kills: int):
    """Kills one run again and again, also while it resumes, then lets it end."""
    workdir, made = new(folder), 0
    for i in range(3 * kills):
        if made == kills:
            break
        if i % 2:
            act = functools.partial(die, random.random())
            before = functools.partial(faulty, random.randint(1, 40), act)
            child = start(config, workdir, before)
        else:
            child = start(config, workdir)
            time.sleep(random.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        made += wait(child) == -signal.SIGKILL
    return made * [after(config, workdir, whole)]


def kill(folder: Path, scale: float):
    """SIGKILL at random instants and inside of writes, on MNIST."""
    whole, seconds = reference(mnist(), folder)
    total = max(4, round(120 * scale))
    while total > 0:
        made = chain(mnist(), folder, whole, seconds, min(10, total))
        total -= len(made)
        for outcome in made:
            yield "SIGKILL, half of them at system calls of writes (MNIST)", *outcome


def stream(folder: Path, scale: float):
    """Streamed pictures: SIGKILL, killed workers, SIGTERM to all, broken pictures."""
    root = write_pictures(folder / "pictures")
    for workers in (0, 2):
        config = pictures(root, **{"data.workers": workers})
        (below := folder / f"workers_{workers}").mkdir()
        whole, seconds = reference(config, below)
        for outcome in chain(config, below, whole, seconds, max(2, round(10 * scale))):
            yield f"SIGKILL, pictures streamed by {workers} workers", *outcome
    for _ in range(max(1, round(8 * scale))):
        child = start(config, workdir := new(folder))
        victims = _workers(child)
        os.kill(random.choice(victims), signal.SIGKILL)
        ended = wait(child)
        text = Path(f"{workdir}.log").read_text()
        good = ended == 0 or (ended == 2 and one_line(text) and "memory" in text)
        yield "a decoding worker killed", *after(config, workdir, whole, good, ended)
    for _ in range(max(1, round(8 * scale))):
        child = start(config, workdir := new(folder), os.setsid)
        time.sleep(random.uniform(0.2, seconds))
        os.killpg(child, signal.SIGTERM)
        ended = wait(child)
        good = ended in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        name = "SIGTERM to a run and its decoding workers"
        yield name, *after(config, workdir, whole, good, ended)


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


def broken(folder: Path, scale: float):
    """Pictures that cannot be decoded, by kind."""
    root = write_pictures(folder / "pictures")
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
        config = pictures(root, **more, **{"data.max_bad_fraction": 0.5})
        ended = wait(start(config, workdir := new(folder)))
        path.unlink()
        text = log(workdir)
        named = f"{kind}.JPEG" in text and "Traceback" not in text
        what = f"{kind} {ended} {text[-400:]}"
        yield "a broken picture", ended == 0 and named, ended == 0 and not named, what


def preempt(folder: Path, scale: float):
    """SIGTERM and SIGINT at random instants; where ignored; to one of two processes."""
    whole, seconds = reference(mnist(), folder)
    for name, number in (("SIGTERM", signal.SIGTERM), ("Ctrl-C", signal.SIGINT)):
        for _ in range(max(2, round(12 * scale))):
            child = start(mnist(), workdir := new(folder))
            time.sleep(random.uniform(0, seconds))
            os.kill(child, number)
            good = (ended := wait(child)) in (0, 128 + number, -number)
            outcome = after(mnist(), workdir, whole, good, ended)
            yield f"{name} at random instants", *outcome
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    for _ in range(max(1, round(4 * scale))):
        child = start(mnist(), workdir := new(folder), ignore)
        time.sleep(random.uniform(seconds / 2, seconds))
        os.kill(child, signal.SIGINT)
        same = (ended := wait(child)) == 0 and content(workdir) == whole
        what = f"{ended} {log(workdir)[-400:]}"
        yield "Ctrl-C where it is ignored (& in a script)", same, False, what
    wait(_pair(mnist(), folder / "pair"))
    whole = content(folder / "pair")
    for i in range(max(1, round(4 * scale))):
        ended = wait(_pair(mnist(), workdir := new(folder), signaled=i % 2))
        outcome = after(mnist(), workdir, whole, ended == 0, ended, _pair)
        yield "SIGTERM to one of two processes of a run", *outcome


def _pair(config, workdir: Path, signaled: int | None = None) -> int:
    """As `start`, of two processes; one may get SIGTERM after its first checkpoint."""
    if child := os.fork():
        return child
    from bn_repro import parallel

    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = [
        start(config, workdir, functools.partial(parallel.initialize, address, 2, i))
        for i in (0, 1)
    ]
    if signaled is not None:
        while not any((workdir / "checkpoints").glob("*.npz")):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
        os.kill(both[signaled], signal.SIGTERM)
    os._exit(any(wait(each) != 0 for each in both))


def early(folder: Path, scale: float):
    """Ctrl-C in the first seconds of the command itself, imports included."""
    endless = MNIST | {"steps": 100_000}
    values = [f"--config.{key}={value}" for key, value in endless.items()]
    script = str(cli.ROOT / "scripts" / "train.py")
    command = [sys.executable, script, "--config=configs/mnist.py:bn", *values]
    for _ in range(max(2, round(16 * scale))):
        child = subprocess.Popen(
            [*command, f"--workdir={new(folder)}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(random.uniform(0.4, 5))  # Python itself starts before that
        child.send_signal(signal.SIGINT)
        errors = child.communicate(timeout=300)[1]
        lines = [line for line in errors.splitlines() if "interrupt" in line.lower()]
        good = child.returncode == 130 and "Traceback" not in errors
        what = f"{child.returncode}: {errors[-400:]}"
        yield "Ctrl-C in the first seconds", good and len(lines) <= 1, False, what


def disk(folder: Path, scale: float):
    """Every write, fsync, replace and unlink refused once; a small disk that fills."""
    config = mnist(steps=40)
    whole, _ = reference(config, folder)
    tally = folder / "calls"

    def note(real, arguments):
        with open(tally, "a") as file:
            file.write(".")
        return real(*arguments)

    wait(start(config, folder / "counted", functools.partial(faulty, 0, note)))
    calls = range(1, tally.stat().st_size + 1)
    for at in calls if scale == 1 else random.sample(calls, max(5, int(60 * scale))):
        act = functools.partial(refuse, FULL[at % len(FULL)])
        child = start(
            config, workdir := new(folder), functools.partial(faulty, at, act)
        )
        ended = wait(child)
        said = ended == 0 or one_line(Path(f"{workdir}.log").read_text())
        name = "a write refused (full, quota, read-only, no permission, I/O error)"
        yield name, *after(config, workdir, whole, said, f"call {at}: {ended}")
    (small := folder / "small").mkdir()
    for size in (16, 64, 100, 150):
        options = ["-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(small)]
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            return  # not allowed here
        try:
            (small / "run").mkdir()
            (link := folder / f"on_{size}k").symlink_to(small / "run")
            good = (ended := wait(start(config, link))) in (0, 2)
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
            outcome = after(config, link, whole, good, ended)
            yield "a disk of 16 to 150 KB that fills", *outcome
        finally:
            subprocess.run(["umount", str(small)], check=True)


def spoiled(sound: bytes, kind: int) -> bytes:
    """Returns bytes with a bit flipped, without their end, or with a block of zeros."""
    broken, place = bytearray(sound), random.randrange(len(sound))
    if kind % 3 == 0:
        broken[place] ^= 1 << random.randrange(8)
    elif kind % 3 == 1:
        del broken[place:]
    else:
        broken[place : place + 512] = bytes(len(broken[place : place + 512]))
    return bytes(broken)


def damage(folder: Path, scale: float):
    """Bits, ends and blocks of a checkpoint changed; others put in its place."""
    import numpy as np

    from bn_repro.run_folder import checkpoint, files, records

    wait(start(mnist(steps=40), run := folder / "run"))
    config = records.read_run(run).config
    newest, before = checkpoint.steps(run)[:2]
    path = checkpoint.path_of(run, newest)
    sound, true = path.read_bytes(), files.digest(arrays := checkpoint.read(path))
    for i in range(max(30, round(400 * scale))):
        path.write_bytes(spoiled(sound, i))
        step, found, _ = checkpoint.latest(run, config)
        wrong = step == newest and files.digest(found) != true
        name = "bit flips, truncations, zeroed blocks of a checkpoint"
        yield name, not wrong and step in (newest, before), wrong, f"damage {i}"
    path.write_bytes(sound)
    others = {
        "seed": 1,
        "optimizer.learning_rate": 0.02,
        "optimizer.momentum": 0.5,
        "model.nonlinearity": "tanh",
        "data.limit": 300,
    }
    bad = {"renamed": checkpoint.path_of(run, before).read_bytes()}
    for key, value in others.items():
        wait(start(mnist(steps=newest, **{key: value}), folder / key))
        bad[key] = checkpoint.path_of(folder / key, newest).read_bytes()
    key = next(k for k in arrays if k.startswith("state/params/"))
    arrays[key] = np.full_like(arrays[key], np.nan)
    np.savez(buffer := io.BytesIO(), **arrays, sha256=np.array(files.digest(arrays)))
    bad["NaN"] = buffer.getvalue()
    for name, bytes_ in bad.items():
        shutil.copytree(run, copy := new(folder))
        checkpoint.path_of(copy, newest).write_bytes(bytes_)
        ended = wait(start(mnist(steps=newest + 5), copy))
        said = "trying the one before it" in (text := log(copy))
        what = f"{name}: {text[-400:]}"
        fault = "checkpoints of another run or step, or not finite"
        yield fault, said and ended == 0, not said, what


def lost(folder: Path, scale: float):
    """Each file of an unfinished run removed, cut or spoiled; then resumed."""
    from bn_repro.run_folder import records, resume

    whole, _ = reference(mnist(), folder)
    act = functools.partial(die, 1)
    wait(start(mnist(), run := folder / "cut", functools.partial(faulty, 150, act)))
    (run / "lock").unlink(missing_ok=True)
    names = sorted(p.relative_to(run) for p in run.rglob("*") if p.is_file())
    cases = [(n, half) for n in [*names, Path("checkpoints")] for half in (1, 0)]
    for name, half in cases if scale >= 1 else random.sample(cases, 4):
        shutil.copytree(run, copy := new(folder))
        if (copy / name).is_dir():
            shutil.rmtree(copy / name)
        elif half:
            os.truncate(copy / name, (copy / name).stat().st_size // 2)
        else:
            (copy / name).unlink()
        ended, text = wait(start(mnist(), copy)), log(copy)
        same = ended == 0 and content(copy) == whole
        said = ended == 2 and one_line(text)
        what = f"{name}: {text[-400:]}"
        fault = "a file of an unfinished run removed or cut in half"
        yield fault, same or said, ended == 0 and not same, what
    config, step = records.config(run), records.status(run)["step"]
    kept = records.seen(run, step)
    for i in range(round(1000 * scale)):
        path = run / random.choice([n for n in names if n.suffix[:5] != ".lock"])
        sound = path.read_bytes()
        path.write_bytes(spoiled(sound, i))
        fault = "bit flips, truncations, zeroed blocks of any other file"
        try:
            found = resume.look(config, run)
            told = bool(found.notes) or records.seen(run, step) == kept
            yield fault, told, not told, f"{path.name} {found.notes}"
        except cli.UserError as error:
            yield fault, "\n" not in str(error), False, str(error)
        path.write_bytes(sound)


def two(folder: Path, scale: float):
    """A second process on the folder of a run."""
    whole, seconds = reference(mnist(), folder)
    for _ in range(max(2, round(10 * scale))):
        first = start(mnist(), workdir := new(folder))
        time.sleep(random.uniform(0, seconds / 2))
        second = start(mnist(), workdir)
        ended = sorted(wait(child) for child in (first, second))
        refused = "is being written by process" in (text := log(workdir))
        same = content(workdir) == whole
        good = same and (ended == [0, 2] and refused or ended == [0, 0])
        yield "two processes on one folder", good, not same, f"{ended} {text[-400:]}"


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
        ended = wait(start(mnist(steps=40, **values), workdir := new(folder)))
        bad = [
            f"{file.name} {name}"
            for file in [*workdir.glob("weights.npz"), *workdir.glob("checkpoints/*")]
            for name, x in np.load(file).items()
            if x.dtype.kind == "f" and not np.isfinite(x).all() and "sums" not in name
        ]
        what = f"{values}: {ended} {bad}"
        fault = "rates and initial weights that overflow"
        yield fault, ended in (0, 2) and not bad, bool(bad), what


def long(folder: Path, scale: float):
    """Half an hour of a streamed run with BN: memory, descriptors, threads."""
    more = {"log_every": 100, "eval.every": 500, "probe.every": 1000}
    more |= {"checkpoint.every": 500, "data.workers": 1, "steps": 10_000_000}
    config = pictures(write_pictures(folder / "pictures"), **more)
    child, samples = start(config, folder / "run"), []
    until = time.monotonic() + 1800 * scale
    while time.monotonic() < until:
        time.sleep(18 * scale)
        samples.append(_usage(child))
    os.kill(child, signal.SIGTERM)
    ended, fifth = wait(child), len(samples) // 5
    begun, end = (
        [statistics.median(x) for x in zip(*part, strict=True)]
        for part in (samples[fifth : 2 * fifth], samples[-fifth:])
    )
    flat = end[0] < 1.02 * begun[0] and end[1] <= begun[1] and end[2] <= begun[2]
    name = (
        f"{30 * scale:.0f} minutes of a streamed run with BN: memory from "
        f"{begun[0]:.0f} to {end[0]:.0f} MB after the first fifth, "
        f"{begun[1]:.0f} to {end[1]:.0f} descriptors, {begun[2]:.0f} to "
        f"{end[2]:.0f} threads"
    )
    yield name, ended == 0 and flat, False, f"{ended} {log(folder / 'run')[-400:]}"


def _usage(child: int) -> tuple[float, int, int]:
    """Returns MB of memory, descriptors and threads of a run and its workers."""
    import psutil

    run = psutil.Process(child)
    all_ = [run, *run.children(recursive=True)]
    memory = sum(process.memory_full_info().pss for process in all_)
    descriptors = sum(process.num_fds() for process in all_)
    return memory / 1e6, descriptors, sum(process.num_threads() for process in all_)


PARTS = (long, kill, disk, preempt, stream, lost, early, damage, two, overflow, broken)


def run(number: int) -> dict[str, list[int]]:
    """Runs a part; returns fault -> [injected, survived, silent]."""
    random.seed(f"{_SEED.value} {number}")
    found, until = {}, time.monotonic() + 60 * _MINUTES.value
    with tempfile.TemporaryDirectory() as folder:
        for name, survived, silent, what in _guarded(PARTS[number], Path(folder)):
            counts = found.setdefault(name, [0, 0, 0])
            for i, happened in enumerate((True, survived, silent)):
                counts[i] += bool(happened)
            if not survived or silent:
                kind = "SILENT" if silent else "not survived"
                print(f"{kind}: {name}: {what}", flush=True)
            if time.monotonic() > until:
                break
    return found


def _guarded(part, folder: Path):
    try:
        yield from part(folder, _SCALE.value)
    except Exception:  # the other parts go on
        import traceback

        yield f"all of {part.__name__}", False, False, traceback.format_exc()


def table(found: dict[str, list[int]]) -> str:
    """Returns the counts as Markdown."""
    from bn_repro.run_folder import manifest

    lines = ["| Fault | Injected | Survived | Silent |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {fault} | {' | '.join(map(str, n))} |" for fault, n in found.items()]
    names = ("only", "scale", "network", "jobs", "minutes", "seed")
    given = [flags.FLAGS[name] for name in names if flags.FLAGS[name].present]
    given = [flag.serialize() for flag in given]
    command = " ".join(["python scripts/torture.py", *given])
    revision = manifest.git_revision()[0][:12]
    where = f"`{command}` at {revision}, {manifest.machine()}"
    return "\n".join(lines) + f"\n\n{where}"


def main() -> int:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp())
    import bn_repro.loop  # noqa: F401, before the forks

    names = [part.__name__ for part in PARTS]
    if unknown := set(_ONLY.value) - set(names):
        raise cli.UserError(
            f"--only has no {unknown.pop()}; it has: {', '.join(names)}"
        )
    found, began = {}, time.monotonic()
    before = "# Faults injected into real runs\n"
    if _OUT.value and Path(_OUT.value).exists():
        before = Path(_OUT.value).read_text()
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(_JOBS.value, fork, os.setsid) as pool:
        wanted = [i for i, name in enumerate(names) if name in (_ONLY.value or names)]
        for done in concurrent.futures.as_completed(
            pool.submit(run, i) for i in wanted
        ):
            found |= done.result()
            text = f"{table(found)}, {(time.monotonic() - began) / 60:.0f} minutes.\n"
            print(text, flush=True)
            if _OUT.value:
                Path(_OUT.value).write_text(f"{before}\n{text}")
    return int(any(n[0] > n[1] or n[2] for n in found.values()))


if __name__ == "__main__":
    cli.run(main)
