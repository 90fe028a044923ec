"""Files that cannot be written, are lost, damaged or of another run."""

import errno
import functools
import io
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

from bn_repro.errors import UserError
from faults import runs

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def die(draw: float, real, arguments):
    """Kills this process before the call, after it, or in the middle of a write."""
    if draw < 0.4 and isinstance(arguments[-1], bytes):
        real(*arguments[:-1], arguments[-1][: len(arguments[-1]) // 2])
    elif draw < 0.7:
        real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int, real, arguments):
    raise OSError(number, os.strerror(number))


def disk(folder: Path, scale: float):
    """Every write, fsync, replace and unlink refused once; a small disk that fills."""
    config = runs.mnist(steps=40)
    whole, _ = runs.reference(config, folder)
    tally = folder / "calls"

    def note(real, arguments):
        with open(tally, "a") as file:
            file.write(".")
        return real(*arguments)

    runs.run(config, folder / "counted", functools.partial(runs.faulty, 0, note))
    calls = range(1, tally.stat().st_size + 1)
    for at in calls if scale == 1 else random.sample(calls, max(5, int(60 * scale))):
        act = functools.partial(refuse, FULL[at % len(FULL)])
        before = functools.partial(runs.faulty, at, act)
        ended = runs.run(config, workdir := runs.new(folder), before)
        said = ended == 0 or runs.one_line(Path(f"{workdir}.log").read_text())
        name = "a write refused (full, quota, read-only, no permission, I/O error)"
        yield name, *runs.after(config, workdir, whole, said, f"call {at}: {ended}")
    (small := folder / "small").mkdir()
    for size in (16, 64, 100, 150):
        options = ["-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(small)]
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            return  # not allowed here
        try:
            (small / "run").mkdir()
            (link := folder / f"on_{size}k").symlink_to(small / "run")
            good = (ended := runs.run(config, link)) in (0, 2)
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
            outcome = runs.after(config, link, whole, good, ended)
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

    runs.run(runs.mnist(steps=40), run := folder / "run")
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
        runs.run(runs.mnist(steps=newest, **{key: value}), folder / key)
        bad[key] = checkpoint.path_of(folder / key, newest).read_bytes()
    key = next(k for k in arrays if k.startswith("state/params/"))
    arrays[key] = np.full_like(arrays[key], np.nan)
    np.savez(buffer := io.BytesIO(), **arrays, sha256=np.array(files.digest(arrays)))
    bad["NaN"] = buffer.getvalue()
    for name, bytes_ in bad.items():
        shutil.copytree(run, copy := runs.new(folder))
        checkpoint.path_of(copy, newest).write_bytes(bytes_)
        ended = runs.run(runs.mnist(steps=newest + 5), copy)
        said = "trying the one before it" in (text := runs.log(copy))
        what = f"{name}: {text[-400:]}"
        fault = "checkpoints of another run or step, or not finite"
        yield fault, said and ended == 0, not said, what


def lost(folder: Path, scale: float):
    """Each file of an unfinished run removed, cut or spoiled; then resumed."""
    from bn_repro.run_folder import records, resume, seen

    whole, _ = runs.reference(runs.mnist(), folder)
    act = functools.partial(die, 1)
    before = functools.partial(runs.faulty, 150, act)
    runs.run(runs.mnist(), run := folder / "cut", before)
    (run / "lock").unlink(missing_ok=True)
    names = sorted(p.relative_to(run) for p in run.rglob("*") if p.is_file())
    cases = [(n, half) for n in [*names, Path("checkpoints")] for half in (1, 0)]
    for name, half in cases if scale >= 1 else random.sample(cases, 4):
        shutil.copytree(run, copy := runs.new(folder))
        if (copy / name).is_dir():
            shutil.rmtree(copy / name)
        elif half:
            os.truncate(copy / name, (copy / name).stat().st_size // 2)
        else:
            (copy / name).unlink()
        ended, text = runs.run(runs.mnist(), copy), runs.log(copy)
        same = ended == 0 and runs.content(copy) == whole
        said = ended == 2 and runs.one_line(text)
        what = f"{name}: {text[-400:]}"
        fault = "a file of an unfinished run removed or cut in half"
        yield fault, same or said, ended == 0 and not same, what
    config, step = records.config(run), records.status(run)["step"]
    kept = seen.of(run, step)
    for i in range(round(1000 * scale)):
        path = run / random.choice([n for n in names if n.suffix[:5] != ".lock"])
        sound = path.read_bytes()
        path.write_bytes(spoiled(sound, i))
        fault = "bit flips, truncations, zeroed blocks of any other file"
        try:
            found = resume.look(config, run)
            told = bool(found.notes) or seen.of(run, step) == kept
            yield fault, told, not told, f"{path.name} {found.notes}"
        except UserError as error:
            yield fault, "\n" not in str(error), False, str(error)
        path.write_bytes(sound)
