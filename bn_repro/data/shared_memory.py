"""Images from a worker to the main process, in shared memory that is used again.

What has just been allocated costs a page fault every 4 KiB, in the worker that writes
and again in the process that reads: with 224x224 images a tenth of what decoding the
picture takes. So a worker keeps its blocks of memory, and the main process says in a
block's first byte that it has copied what is there. grain's own, which is allocated for
each batch, made 14 % fewer pictures a second of a core for a reader that only takes.

A worker removes its blocks when it ends. What it has handed on is still there then: the
main process has the block open from the moment that it takes the piece from the queue,
which it does before it hears that the worker has come to its end. Of a worker that was
killed Python's resource tracker removes the blocks when the main process ends.
"""

import contextlib
import math
import weakref
from multiprocessing.shared_memory import SharedMemory

import numpy as np

_HEAD = 64  # bytes before the images, the first of which is one of these:
_FREE, _FULL = 0, 1

# Blocks that this process has opened, by name; each is open as long as it is used.
_opened = weakref.WeakValueDictionary()


class Filled:
    """What a worker hands on: images in shared memory, opened where it is unpickled."""

    def __init__(self, block: SharedMemory, shape: tuple[int, ...]):
        """Takes the block and the shape of its images."""
        self.block, self._shape = block, shape

    @property
    def images(self) -> np.ndarray:
        """What the block holds, uint8, valid until `free`; an array keeps it open."""
        return np.ndarray(self._shape, np.uint8, self.block.buf, _HEAD)

    def free(self) -> None:
        """Lets the worker write there again."""
        self.block.buf[0] = _FREE

    def __reduce__(self):
        return _receive, (self.block.name, self._shape)


def _receive(name: str, shape: tuple[int, ...]) -> Filled:
    block = _opened.get(name)
    # A stream that is closed takes the rest from the queue when its worker has ended.
    with contextlib.suppress(FileNotFoundError):
        block = _opened[name] = block or SharedMemory(name)
    return Filled(block, shape)


class Blocks:
    """A worker's blocks of shared memory; they are gone when the worker ends."""

    def __init__(self):
        """Allocates nothing yet."""
        self._blocks: list[SharedMemory] = []
        weakref.finalize(self, _unlink, self._blocks)

    def __reduce__(self):  # each worker has its own
        return Blocks, ()

    def fill(self, shape: tuple[int, ...]) -> tuple[Filled, np.ndarray]:
        """Returns what to hand on and the array to write before, uint8 of this shape.

        The block is taken until the main process frees it.
        """
        size = _HEAD + math.prod(shape)
        free = (b for b in self._blocks if b.size >= size and b.buf[0] == _FREE)
        block = next(free, None) or self._allocate(size)
        block.buf[0] = _FULL
        filled = Filled(block, shape)
        return filled, filled.images

    def _allocate(self, size: int) -> SharedMemory:
        self._blocks.append(SharedMemory(create=True, size=size))
        return self._blocks[-1]


class Kept:
    """The blocks that a stream keeps open in the main process, to read them again."""

    def __init__(self):
        """Keeps none yet."""
        self._blocks: dict[str, SharedMemory] = {}

    def keep(self, filled: Filled) -> None:
        """Keeps a block open until `close`."""
        self._blocks[filled.block.name] = filled.block

    def close(self) -> None:
        """Gives the memory back, as soon as the workers do too."""
        while self._blocks:
            with contextlib.suppress(BufferError):  # images that somebody still holds
                self._blocks.popitem()[1].close()


def _unlink(blocks: list[SharedMemory]) -> None:
    for block in blocks:
        block.unlink()
