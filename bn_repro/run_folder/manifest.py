"""What a result depends on besides its configuration: code, versions, devices."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

import bn_repro

PACKAGES = ("jax", "jaxlib", "flax", "optax", "grain", "numpy")


def describe(config, params, devices=None, **data) -> dict:
    """Returns the manifest of a run that starts now, as plain values.

    Fields of the data stand beside what is found here; `devices` are those that it runs
    on, by default all.
    """
    devices = jax.devices() if devices is None else devices
    revision, dirty = git_revision()
    return {
        "command": command(),
        "git_revision": revision,
        "git_dirty": dirty,
        "versions": versions(),
        "devices": [f"{d.platform}:{d.device_kind}" for d in devices],
        "machine": machine(),
        **data,
        "process_count": jax.process_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threads": available_cores(),
        "matmul_precision": matmul_precision(config.model.precision),
        "seed": config.seed,
        "parameter_count": int(sum(np.size(leaf) for leaf in jax.tree.leaves(params))),
        "started": now(),
    }


def matmul_precision(asked: str = "default") -> str:
    """Returns model.precision, or what JAX is told where that is "default"."""
    told = jax.config.jax_default_matmul_precision or "default"
    return told if asked == "default" else asked


def command() -> str:
    """Returns the command line that started this process, without folders."""
    return shlex.join([*Path(sys.argv[0]).name.split(), *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that matter."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    python = platform.python_version()
    return {"python": python, "bn_repro": bn_repro.__version__, **packages}


def machine() -> str:
    """Returns the processor's model, its kind and the number of its cores."""
    return f"{_processor()}{platform.machine()}, {os.cpu_count()} cores"


def _processor() -> str:
    """Returns the model as Linux names it, with a comma, or "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    models = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return f"{models[0].strip()}, " if models else ""


def now() -> str:
    """Returns the time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def available_cores() -> int:
    """Returns the number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_revision() -> tuple[str, bool | None]:
    """Returns the revision of the code and whether it was changed since."""
    folder, file = Path(__file__).parent, Path(__file__).name
    git = lambda *args: subprocess.run(  # noqa: E731
        ["git", "-C", folder, *args], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        git("ls-files", "--error-unmatch", file)  # installed, another's may lie around
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None
