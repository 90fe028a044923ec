"""One writer a run folder: who holds it, and that nobody else does.

The lock is the kernel's (flock) on the file `lock`, so that it goes with its holder,
even one that was killed. Where the file system has none, it is the file `lock.held`
itself, which says whose it is and is taken over once that process is gone from its
host. Readers need no lock.
"""

import contextlib
import datetime
import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from bn_repro.errors import UserError
from bn_repro.run_folder import files

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

NAME = "lock"
HELD = "lock.held"  # where there is no flock
_NO_FLOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_ours: dict[Path, int] = {}  # folder that this process holds -> thread that does


class HeldError(UserError):
    """Another process writes this run folder."""


@contextlib.contextmanager
def hold(workdir) -> Iterator[None]:
    """Holds a run folder, which is made if need be, for as long as the context lasts.

    A thread that holds it already goes on holding it.

    Raises:
      HeldError: another process holds it; names that process.
      UserError: the folder cannot be written.
    """
    folder = Path(workdir)
    with files.naming(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
    if _ours.get(folder) == threading.get_ident():
        yield
        return
    release = _take(folder, Path(workdir))
    _ours[folder] = threading.get_ident()
    try:
        yield
    finally:
        del _ours[folder]
        release()


def _take(folder: Path, shown: Path):
    """Returns a function that gives back the lock, which is taken."""
    with files.naming(shown, "write"):
        while True:
            file = open(folder / NAME, "a+")  # noqa: SIM115, open while it is held
            try:
                if fcntl is None:
                    raise OSError(errno.ENOSYS, "no flock")
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise _held(shown, file.read()) from None
            except OSError as error:
                file.close()
                if error.errno not in _NO_FLOCK:
                    raise
                (folder / NAME).unlink(missing_ok=True)
                return _take_file(folder / HELD, shown)
            if _is(file, folder / NAME):  # not one that its last holder removed since
                break
            file.close()
        with contextlib.suppress(OSError):  # a full disk: the lock is held nonetheless
            file.truncate(0)
            file.write(json.dumps(_myself()))
            file.flush()

    def release():
        (folder / NAME).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            file.close()

    return release


def _is(file, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _take_file(path: Path, shown: Path):
    """As `_take`, by a file that appears whole or not at all."""
    mine = path.with_name(f".{HELD}.{socket.gethostname()}.{os.getpid()}")
    mine.write_text(json.dumps(_myself()))
    try:
        while True:
            try:
                os.link(mine, path)
                break
            except FileExistsError:
                text = path.read_text() if path.exists() else ""
                if text and not _is_gone(text):
                    raise _held(shown, text) from None
                _remove(path, text, mine)
    finally:
        mine.unlink(missing_ok=True)
    return lambda: path.unlink(missing_ok=True)


def _remove(path: Path, text: str, mine: Path) -> None:
    """Removes the file of a holder that is gone, unless it is another's by now."""
    aside = mine.with_name(f"{mine.name}.aside")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        if aside.read_text() != text:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _myself() -> dict:
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    host = socket.gethostname()
    return {"pid": pid, "host": host, "since": started, "birth": _birth(pid)}


def _birth(pid: int) -> str:
    """Returns what tells a process from a later one of its number; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "alive"


def _is_gone(text: str) -> bool:
    """Returns whether the holder was a process of this host and runs no more."""
    holder = _parse(text)
    if holder.get("host") != socket.gethostname():
        return False
    return _birth(holder["pid"]) != holder["birth"]


def _parse(text: str) -> dict:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {}


def _held(folder: Path, text: str) -> HeldError:
    holder = _parse(text)
    who = "another process"
    if holder:
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    return HeldError(
        f"{folder} is being written by {who}; let it end, or name another --workdir"
    )
