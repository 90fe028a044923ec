r"""Injects faults into real runs and counts: fault x injected x survived x silent.

python scripts/torture.py                       # everything, about 25 minutes
python scripts/torture.py --only kill,disk --scale 0.1
python scripts/torture.py --out results/reliability.md

A run survives a fault if it ends bit for bit as one that met none, or if it says in one
line what is wrong and loses nothing. It is silent if it ends differently and does not
say so: that must never be. Every run is a process of its own, forked before JAX starts.
"""

import collections
import contextlib
import errno
import functools
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from bn_repro import cli

_ONLY = flags.DEFINE_list("only", [], "Parts to run; all if empty.")
_SCALE = flags.DEFINE_float("scale", 1.0, "Factor on the number of injections.")
_OUT = flags.DEFINE_string("out", "", "File for the table; empty: print it only.")
_NETWORK = flags.DEFINE_string("network", "inception", "On pictures: inception or mlp.")

COMMON = {
    "steps": 200,
    "steps_per_call": 5,
    "log_every": 20,
    "eval.every": 40,
    "eval.batch_size": 200,
    "eval.population_batches_during": 2,
    "probe.every": 50,
    "probe.examples": 60,
    "checkpoint.every": 10,
    "optimizer.momentum": 0.9,
}
MNIST = COMMON | {"model.hidden": (20, 15), "data.limit": 400}
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


class Count(collections.Counter):
    """What happened: "injected", "survived" and "silent" faults."""

    def judge(self, survived: bool, silent: bool, what: str = "") -> None:
        """Counts one injection; prints one that was not survived."""
        self.update(injected=1, survived=survived, silent=silent)
        if not survived:
            print(f"    not survived{' and SILENT' if silent else ''}: {what}")


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


def start(config, workdir: Path, before=lambda: None, **arguments) -> int:
    """Returns the id of a process that trains, forked; it appends to a log beside."""
    child = os.fork()
    if child:
        return child
    status = 1
    with contextlib.suppress(BaseException):
        log = os.open(f"{workdir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            status = _train(config, workdir, before, arguments)
        except SystemExit as end:
            status = end.code
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _train(config, workdir, before, arguments) -> int:
    from bn_repro import interrupt, loop

    interrupt.install()
    before()
    train = functools.partial(loop.run, config, workdir, **arguments)
    return cli.guarded(lambda: interrupt.exit_status(train()))


def wait(child: int, seconds: float = 300) -> int | None:
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


def content(workdir: Path) -> dict:
    """Returns what a run leaves that must not depend on faults, by name, as bytes."""
    from bn_repro.run_folder import checkpoint, records

    run = records.read_run(workdir)
    step, arrays, _ = checkpoint.latest(workdir, run.config)
    arrays |= checkpoint.read(workdir / checkpoint.WEIGHTS)
    arrays |= {f"hits {name}": x for name, x in run.hits.items()}
    arrays |= {f"probe {name}": x for name, x in (run.activations or {}).items()}
    found = {
        name: x if isinstance(x, list) else x.tobytes()
        for name, x in arrays.items()
        if name != "seconds"
    }
    rows = [{k: v for k, v in r.items() if k != "seconds"} for r in run.metrics]
    return found | {"rows": rows, "status": run.status, "step": step}


def faulty(at: int, act) -> None:
    """Has the at-th write, fsync, replace or unlink of this process do `act` instead.

    Args:
      at: 1 is the first.
      act: called with (the real call, its arguments).
    """
    from bn_repro.run_folder import files, records

    made = iter(range(1, 1 << 40))

    def wrap(real):
        def call(*arguments, **named):
            if next(made) == at:
                return act(real, arguments)
            return real(*arguments, **named)

        return call

    class File(io.FileIO):
        write = wrap(io.FileIO.write)

    def opened(path, mode, *_, **__):
        return File(path, mode.replace("b", ""))

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    files.open = records.open = opened


def die(real, arguments):
    """Kills this process before the call, after it, or in the middle of a write."""
    draw = random.random()
    if draw < 0.4 and isinstance(arguments[-1], bytes):
        half = arguments[-1][: len(arguments[-1]) // 2]
        real(*arguments[:-1], half)
    elif draw < 0.7:
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(at: int, seed: int) -> None:
    """Has the at-th call kill this process; the seed says how."""
    random.seed(seed)
    faulty(at, die)


def reference(config, folder: Path) -> tuple[dict, float]:
    """Returns the content of a run that meets no fault, and the seconds it took."""
    wait(start(config, folder / "warm"))  # compiles
    began = time.monotonic()
    status = wait(start(config, folder / "whole"))
    if status != 0:
        raise SystemExit(f"the run without a fault failed: {log(folder / 'whole')}")
    return content(folder / "whole"), time.monotonic() - began


def chain(config, folder: Path, whole, seconds, kills: int, count: Count) -> None:
    """Kills one run again and again, also while it resumes, then lets it end."""
    workdir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    made = 0
    for i in range(3 * kills):
        if made == kills:
            break
        seed = random.randrange(1 << 30)
        if i % 2:
            at = random.randint(1, 40)
            child = start(config, workdir, functools.partial(deadly, at, seed))
        else:
            child = start(config, workdir)
            time.sleep(random.uniform(0, seconds))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        made += wait(child) == -signal.SIGKILL
    ended = wait(start(config, workdir))
    same = ended == 0 and content(workdir) == whole
    for _ in range(made):
        count.judge(same, ended == 0 and not same, log(workdir)[-300:])


def kill(folder: Path, scale: float) -> dict[str, Count]:
    """SIGKILL at random instants and inside of writes, on MNIST."""
    count = Count()
    whole, seconds = reference(mnist(), folder)
    total = max(4, round(120 * scale))
    while count["injected"] < total:
        chain(mnist(), folder, whole, seconds, min(10, total), count)
    return {"SIGKILL, half of them at system calls of writes (MNIST)": count}


def stream(folder: Path, scale: float) -> dict[str, Count]:
    """SIGKILL on streamed pictures, decoded by 0 and by 2 workers."""
    found = {}
    root = write_pictures(folder / "pictures")
    for workers in (0, 2):
        config = pictures(root, **{"data.workers": workers})
        below = folder / f"workers_{workers}"
        below.mkdir()
        whole, seconds = reference(config, below)
        count = Count()
        chain(config, below, whole, seconds, max(2, round(10 * scale)), count)
        found[f"SIGKILL, pictures streamed by {workers} workers"] = count
    return found


def preempt(folder: Path, scale: float) -> dict[str, Count]:
    """SIGTERM and SIGINT at random instants; and with SIGINT and SIGHUP ignored."""
    whole, seconds = reference(mnist(), folder)
    found = {}
    for name, number in (("SIGTERM", signal.SIGTERM), ("Ctrl-C", signal.SIGINT)):
        count = found[f"{name} at random instants"] = Count()
        for _ in range(max(2, round(20 * scale))):
            workdir = Path(tempfile.mkdtemp(dir=folder)) / "run"
            child = start(mnist(), workdir)
            time.sleep(random.uniform(0, seconds))
            os.kill(child, number)
            ended = wait(child)
            text = log(workdir)
            clean = ended in (0, 128 + number, -number) and "Traceback" not in text
            again = wait(start(mnist(), workdir))
            same = again == 0 and content(workdir) == whole
            count.judge(clean and same, again == 0 and not same, text[-300:])
    count = found["Ctrl-C where it is ignored (& in a script)"] = Count()
    ignore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    for _ in range(max(1, round(5 * scale))):
        workdir = Path(tempfile.mkdtemp(dir=folder)) / "run"
        child = start(mnist(), workdir, ignore)
        time.sleep(random.uniform(seconds / 2, seconds))
        os.kill(child, signal.SIGINT)
        ended = wait(child)
        same = ended == 0 and content(workdir) == whole
        count.judge(same, False, log(workdir)[-300:])
    return found


def early(folder: Path, scale: float) -> dict[str, Count]:
    """Ctrl-C in the first seconds of the command itself, imports included."""
    count = Count()
    values = {f"--config.{key}={value}" for key, value in MNIST.items()}
    script = str(cli.ROOT / "scripts" / "train.py")
    for _ in range(max(2, round(24 * scale))):
        workdir = Path(tempfile.mkdtemp(dir=folder)) / "run"
        command = [sys.executable, script, "--config=configs/mnist.py:bn"]
        child = subprocess.Popen(
            [*command, f"--workdir={workdir}", "--config.steps=100000", *values],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(random.uniform(0.4, 5))  # Python itself starts before that
        child.send_signal(signal.SIGINT)
        try:
            errors = child.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            child.kill()
            errors = "it went on"
        lines = [line for line in errors.splitlines() if "interrupt" in line.lower()]
        good = child.returncode == 130 and "Traceback" not in errors
        count.judge(good and len(lines) <= 1, False, f"{child.returncode}: {errors}")
    return {"Ctrl-C in the first seconds": count}


def disk(folder: Path, scale: float) -> dict[str, Count]:
    """Every write, fsync, replace and unlink refused once; a small disk that fills."""
    whole, _ = reference(mnist(), folder)
    refused = Count()
    for i in range(max(5, round(60 * scale))):
        workdir = Path(tempfile.mkdtemp(dir=folder)) / "run"
        number = FULL[i % len(FULL)]

        def refuse(*_, number=number):
            raise OSError(number, os.strerror(number))

        at = i + 1
        ended = wait(start(mnist(), workdir, functools.partial(faulty, at, refuse)))
        text = log(workdir)
        said = ended == 0 or ended == 2 and text.count("error: ") == 1
        again = wait(start(mnist(), workdir))
        same = again == 0 and content(workdir) == whole
        good = said and same and "Traceback" not in text
        refused.judge(
            good, again == 0 and not same, f"call {at}: {ended} {text[-300:]}"
        )
    return {
        "a write refused (full, quota, read-only, no permission, I/O error)": refused
    } | _small_disk(folder, whole)


def _small_disk(folder: Path, whole) -> dict[str, Count]:
    count, small = Count(), folder / "small"
    small.mkdir()
    for kilobytes in (16, 64, 100, 150):
        options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(small)]
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            return {}  # not allowed here
        try:
            link = folder / f"on_{kilobytes}k"
            link.symlink_to(small / "run")
            (small / "run").mkdir()
            ended = wait(start(mnist(), link))
            text = log(link)
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
            again = wait(start(mnist(), link))
            same = again == 0 and content(link) == whole
            good = ended in (0, 2) and same and "Traceback" not in text
            count.judge(good, again == 0 and not same, f"{ended} {text[-300:]}")
        finally:
            subprocess.run(["umount", str(small)], check=True)
    return {"a disk of 16 to 150 KB that fills": count}


def damage(folder: Path, scale: float) -> dict[str, Count]:
    """Bits, ends and blocks of a checkpoint changed; others put in its place."""
    from bn_repro.run_folder import checkpoint, records

    child = start(mnist(steps=40), folder / "run")
    wait(child)
    run = records.read_run(folder / "run")
    newest, before = checkpoint.steps(folder / "run")[:2]
    path = checkpoint.path_of(folder / "run", newest)
    sound, count = path.read_bytes(), Count()
    true = checkpoint.digest(checkpoint.read(path))
    for i in range(max(30, round(400 * scale))):
        broken = bytearray(sound)
        place = random.randrange(len(sound))
        if i % 3 == 0:
            broken[place] ^= 1 << random.randrange(8)
        elif i % 3 == 1:
            del broken[place:]
        else:
            broken[place : place + 512] = bytes(len(broken[place : place + 512]))
        path.write_bytes(broken)
        step, arrays, _ = checkpoint.latest(folder / "run", run.config)
        wrong = step == newest and checkpoint.digest(arrays) != true
        count.judge(not wrong and step in (newest, before), wrong, f"place {place}")
    path.write_bytes(sound)
    found = {"bit flips, truncations, zeroed blocks of a checkpoint": count}
    return found | _foreign(folder, checkpoint, newest)


def _foreign(folder: Path, checkpoint, newest: int) -> dict[str, Count]:
    import numpy as np

    count = Count()
    others = {
        "seed": {"seed": 1},
        "rate": {"optimizer.learning_rate": 0.02},
        "momentum": {"optimizer.momentum": 0.5},
        "nonlinearity": {"model.nonlinearity": "tanh"},
        "limit": {"data.limit": 300},
    }
    own = checkpoint.path_of(folder / "run", newest)
    sound = own.read_bytes()
    bad = {}
    for name, values in others.items():
        wait(start(mnist(steps=newest, **values), folder / name))
        bad[f"of another {name}"] = checkpoint.path_of(
            folder / name, newest
        ).read_bytes()
    older = checkpoint.path_of(folder / "run", checkpoint.steps(folder / "run")[1])
    bad["renamed"] = older.read_bytes()
    for name, key, value in (("NaN", "state/params/logits/kernel", np.nan),):
        arrays = checkpoint.read(own)
        key = next(k for k in arrays if k.startswith("state/params/")) or key
        arrays[key] = np.full_like(arrays[key], value)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, sha256=np.array(checkpoint.digest(arrays)))
        bad[name] = buffer.getvalue()
    for name, content_ in bad.items():
        own.write_bytes(content_)
        ended = wait(start(mnist(steps=newest + 5), folder / "run"))
        text = log(folder / "run")
        passed_over = "trying the one before it" in text
        count.judge(
            passed_over and ended == 0, not passed_over, f"{name}: {text[-300:]}"
        )
        shutil.rmtree(folder / "run")
        wait(start(mnist(steps=40), folder / "run"))
        own.write_bytes(sound)
    return {"checkpoints of another run or step, or not finite": count}


def missing(folder: Path, scale: float) -> dict[str, Count]:
    """Each file of an unfinished run's folder removed or cut; then resumed."""
    whole, seconds = reference(mnist(), folder)
    workdir, count = folder / "cut", Count()
    while not (workdir / "checkpoints").exists() or not _is_half(workdir):
        shutil.rmtree(workdir, ignore_errors=True)
        child = start(mnist(), workdir)
        time.sleep(random.uniform(seconds / 2, seconds))
        os.kill(child, signal.SIGTERM)
        wait(child)
    names = sorted(p.relative_to(workdir) for p in workdir.rglob("*") if p.is_file())
    cases = [(name, half) for name in [*names, Path("checkpoints")] for half in (1, 0)]
    if scale < 1:
        cases = random.sample(cases, max(4, round(len(cases) * scale)))
    for name, half in cases:
        copy = Path(tempfile.mkdtemp(dir=folder)) / "run"
        shutil.copytree(workdir, copy)
        if (copy / name).is_dir():
            shutil.rmtree(copy / name)
        elif half:
            with open(copy / name, "r+b") as file:
                file.truncate((copy / name).stat().st_size // 2)
        else:
            (copy / name).unlink()
        ended = wait(start(mnist(), copy))
        text = log(copy)
        same = ended == 0 and content(copy) == whole
        said = ended == 2 and text.count("error: ") == 1 and "Traceback" not in text
        count.judge(same or said, ended == 0 and not same, f"{name}: {text[-300:]}")
    return {"a file of an unfinished run removed or cut in half": count}


def _is_half(workdir: Path) -> bool:
    from bn_repro.run_folder import records

    status = records.status(workdir)
    return status["status"] == "interrupted" and status["step"] > 50


def two(folder: Path, scale: float) -> dict[str, Count]:
    """A second process on the folder of a run."""
    whole, seconds = reference(mnist(), folder)
    count = Count()
    for _ in range(max(2, round(10 * scale))):
        workdir = Path(tempfile.mkdtemp(dir=folder)) / "run"
        first = start(mnist(), workdir)
        time.sleep(random.uniform(0, seconds / 2))
        second = start(mnist(), workdir)
        ended = sorted(wait(child) for child in (first, second))
        refused = "is being written by process" in log(workdir)
        same = content(workdir) == whole
        good = same and (ended == [0, 2] and refused or ended == [0, 0])
        count.judge(good, not same, f"{ended}")
    return {"two processes on one folder": count}


def not_finite(folder: Path, scale: float) -> dict[str, Count]:
    """Rates and initial weights that overflow: no file holds what is not finite."""
    import numpy as np

    count = Count()
    hostile = [
        {"optimizer.learning_rate": rate, "model.nonlinearity": nonlinearity}
        for rate in (1e10, 1e20, 1e30, 1e38)
        for nonlinearity in ("relu", "sigmoid")
    ]
    hostile += [
        {"model.init_stddev": stddev, "model.nonlinearity": "relu", "model.norm": norm}
        for stddev in (1e10, 1e20, 3e38)
        for norm in ("none", "batch_norm")
    ]
    if scale < 1:
        hostile = random.sample(hostile, max(3, round(len(hostile) * scale)))
    for i, values in enumerate(hostile):
        workdir = folder / str(i)
        ended = wait(start(mnist(steps=40, **values), workdir))
        bad = [
            f"{file.name} {name}"
            for file in [*workdir.glob("weights.npz"), *workdir.glob("checkpoints/*")]
            for name, x in np.load(file).items()
            if x.dtype.kind == "f" and not np.isfinite(x).all() and "sums" not in name
        ]
        count.judge(ended in (0, 2) and not bad, bool(bad), f"{values}: {ended} {bad}")
    return {"rates and initial weights that overflow": count}


PARTS = {
    "kill": kill,
    "stream": stream,
    "preempt": preempt,
    "early": early,
    "disk": disk,
    "damage": damage,
    "missing": missing,
    "two": two,
    "not_finite": not_finite,
}


def table(found: dict[str, Count]) -> str:
    """Returns the counts as Markdown."""
    lines = ["| Fault | Injected | Survived | Silent |", "| --- | ---: | ---: | ---: |"]
    for fault, n in found.items():
        cells = (n["injected"], n["survived"], n["silent"])
        lines.append(f"| {fault} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    import bn_repro.loop  # noqa: F401, before the forks

    unknown = [name for name in _ONLY.value if name not in PARTS]
    if unknown:
        raise cli.UserError(f"--only has no {unknown[0]}; it has: {', '.join(PARTS)}")
    random.seed(0)
    found, began = {}, time.monotonic()
    for name in _ONLY.value or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {PARTS[name].__doc__}", flush=True)
            new = PARTS[name](Path(folder), _SCALE.value)
            found |= new
            print(table(new), flush=True)
    minutes = (time.monotonic() - began) / 60
    text = f"{table(found)}\n`{' '.join(['scripts/torture.py', *sys.argv[1:]])}`, "
    text += f"{minutes:.0f} minutes.\n"
    print(text)
    if _OUT.value:
        Path(_OUT.value).write_text(f"# Faults injected into real runs\n\n{text}")
    return int(any(n["injected"] > n["survived"] for n in found.values()))


if __name__ == "__main__":
    cli.run(main)
