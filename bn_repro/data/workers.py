"""Worker processes that decode: how they start, get their source, and are missed.

The names of a million pictures do not fit into a pipe at once: a worker that is killed
before it has read them would leave the main process writing for ever. So a source goes
to the workers in a file instead, which has no name and is gone with the main process,
however that ends.
"""

import os
import pickle
import re
import signal
import tempfile
from multiprocessing import resource_tracker

import cloudpickle
import cv2

from bn_repro import interrupt
from bn_repro.errors import UserError

# To the whole process group they are the main process's to handle: it may still want a
# batch before it saves and stops.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LESS_MEMORY = (
    "set fewer --config.data.workers or a smaller --config.data.max_pixels, or give "
    "the machine or job more of it"
)
_NO_SHARED_MEMORY = (
    "shared memory (/dev/shm) is full; give a container more (docker run "
    "--shm-size=2g), or set --config.data.workers=0"
)


class Handed:
    """A source that is pickled as the place where a worker finds it."""

    def __init__(self, source):
        """Takes a source, random access to examples."""
        self._source, self._file = source, None

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: int) -> dict:
        return self._source[i]

    def __reduce__(self):
        if not os.path.isdir(f"/proc/{os.getpid()}/fd"):  # not Linux
            return Handed, (self._source,)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, open as long as this
            self._file.write(cloudpickle.dumps(self._source))
            self._file.flush()
        return _taken, (f"/proc/{os.getpid()}/fd/{self._file.fileno()}",)


def _taken(path: str) -> Handed:
    with open(path, "rb") as file:
        return Handed(pickle.load(file))


def started(dataset):
    """Returns the dataset's iterator, which reads ahead from now on.

    The threads that it starts, and the worker processes that those start, cannot be
    interrupted: a signal to the whole process group waits for the main thread, and a
    worker has none but SIGKILL to fear from its first instruction on.
    """
    resource_tracker.ensure_running()  # it would unblock the signals when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        iterator = iter(dataset)
        iterator.start_prefetch()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return iterator


def explained(error: Exception) -> Exception:
    """Returns what to raise for an error while decoding; explains a lost worker."""
    if isinstance(error, MemoryError):
        return UserError(f"a picture does not fit in memory ({error}): {_LESS_MEMORY}")
    again = f"; {interrupt.same_command()} goes on from the last checkpoint"
    if code := re.search(r"terminated unexpectedly with exit code (-?\d+)", str(error)):
        if int(code[1]) == -signal.SIGBUS:  # a page of a mapped file has no room
            killed = f"a decoding worker was killed: {_NO_SHARED_MEMORY}"
            return UserError(killed + again)
        return UserError(
            f"a decoding worker was killed (exit code {code[1]}), most likely because "
            f"memory ran out: {_LESS_MEMORY}{again}"
        )
    return error


def start_worker(index: int, count: int) -> None:
    """Prepares a worker process: one thread, and the main process's life span."""
    del index, count
    cv2.setNumThreads(0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    interrupt.end_with_parent()
