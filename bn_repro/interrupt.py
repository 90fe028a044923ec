"""Ctrl-C before there is anything to save: one line, exit status 130, no traceback.

An exception out of a signal handler may end up anywhere: in an import, in a callback
that swallows it, in a compiler. So none is raised: what is to be told is told, and the
process ends there and then. Once there is something to save, `parallel.Preemption`
takes over.
"""

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator

_to_tell: list[Callable[[], None]] = []
noticed = 0  # the last signal that was noticed, by anybody


def install() -> None:
    """Makes Ctrl-C end this process in one line, unless it was started to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


@contextlib.contextmanager
def telling(tell: Callable[[], None]) -> Iterator[None]:
    """Has `tell` called before the process ends at once, as long as this lasts."""
    _to_tell.append(tell)
    try:
        yield
    finally:
        _to_tell.remove(tell)


def end_at_once(number: int, _frame=None) -> None:
    """Ends the process with exit status 128 + number, its children as well."""
    signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(Exception):
        for tell in _to_tell:
            tell()
    with contextlib.suppress(Exception):
        _end_children()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        told = f"interrupted; {same_command()} goes on from what was saved\n"
        os.write(2, told.encode())
    os._exit(128 + number)


def same_command() -> str:
    """Returns what resumes a run, in words: not with --restart, which begins anew."""
    anew = any(re.fullmatch(r"--?restart(=(1|t|y).*)?", w, re.I) for w in sys.argv)
    return "the same command" + " without --restart" * anew


def may_handle() -> bool:
    """Returns whether signals may be handled: in the main thread alone."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def asked_to_stop() -> Iterator[list]:
    """Yields a list that is not empty once Ctrl-C or SIGTERM asked to stop."""
    asked = []

    def notice(number, _):
        global noticed
        asked.append(number)
        noticed = number

    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        numbers.append(signal.SIGINT)
    numbers = numbers if may_handle() else []
    before = [signal.signal(number, notice) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Ends this process, a worker, as soon as the one that started it has ended."""
    import multiprocessing

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _end_children() -> None:
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.terminate()


def exit_status(ended: str) -> int:
    """Returns a command's exit status after a run that ended so: 130 after Ctrl-C."""
    by_hand = ended == "interrupted" and noticed == signal.SIGINT
    return 128 + signal.SIGINT if by_hand else 0
