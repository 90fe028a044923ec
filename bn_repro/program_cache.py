"""Where JAX keeps compiled programs, so that a command starts sooner the next time."""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
SWITCH = "JAX_ENABLE_COMPILATION_CACHE"
LEAST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def keep(keep: bool = True) -> None:
    """Tells JAX, before it is imported, where to keep programs, or to keep none.

    By the environment, so that the processes that a command starts keep them, too. A
    folder that is named there stays. Else it is one of the user's cache for each kind
    of processor: a program made for another could end the process.
    """
    if not keep:
        os.environ[SWITCH] = "false"
    if not keep or FOLDER in os.environ:
        return
    asked = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = asked if asked.is_absolute() else Path("~", ".cache")
    with contextlib.suppress(OSError, RuntimeError):  # no home, or none to write to
        folder = home.expanduser() / "bn_repro" / f"programs-{_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER] = str(folder)
        os.environ.setdefault(LEAST, "0.1")  # seconds


def _processor() -> str:
    """Returns what stands for the kind of processor and for what it can do."""
    can = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        can = next((x for x in lines if x.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(can.encode()).hexdigest()[:8]}"
