"""A source on its way to the worker processes, in a file instead of their first pipe.

The names of a million pictures do not fit into a pipe at once: a worker that is killed
before it has read them would leave the main process writing for ever. The file has no
name and is gone with the main process, however that ends.
"""

import os
import pickle
import tempfile

import cloudpickle


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
