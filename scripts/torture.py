r"""Injects faults into real runs and counts: fault x injected x survived x silent.

python scripts/torture.py --out results/reliability.md      # everything, 50 minutes
python scripts/torture.py --only kill,disk --scale 0.1

A run survives a fault if it ends bit for bit as one that met none, or if it says in one
line what is wrong and loses nothing. It is silent if it ends differently and does not
say so: that must never be. Every run is a process of its own, forked before JAX starts.
"""

import concurrent.futures
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from absl import flags
from faults import files, signals, values

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

PARTS = (
    values.long,
    signals.kill,
    files.disk,
    signals.preempt,
    signals.stream,
    signals.workers,
    files.lost,
    signals.early,
    files.damage,
    signals.two,
    values.overflow,
    values.broken,
)


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
    # Compiling is most of a short run, and halves without LLVM's optimisations.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # & in a script ignores it
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
