"""Images from a worker to the main process, in shared memory that is used again.

What has just been allocated costs a page fault every 4 KiB, in the worker that writes
and again in the process that reads: with 224x224 images a tenth of what decoding the
picture takes. So a worker keeps its blocks of memory, and the main process says in a
block's first byte that it has copied what is there.
"""

import math
import weakref
from multiprocessing.shared_memory import SharedMemory
from typing import NamedTuple

import numpy as np

_HEAD = 64  # bytes before the images, the first of which is one of these:
_FREE, _FULL = 0, 1


class Filled(NamedTuple):
    """What the worker hands on: where the images are, and their shape."""

    name: str
    shape: tuple[int, ...]


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
        return Filled(block.name, shape), _array(block, shape)

    def _allocate(self, size: int) -> SharedMemory:
        self._blocks.append(SharedMemory(create=True, size=size))
        return self._blocks[-1]


class Opened:
    """The main process's view of the blocks of its workers."""

    def __init__(self):
        """Opens nothing yet."""
        self._blocks: dict[str, SharedMemory] = {}

    def open(self, filled: Filled) -> np.ndarray:
        """Returns the images, valid until `free`; the worker must still be running."""
        if filled.name not in self._blocks:
            self._blocks[filled.name] = SharedMemory(filled.name)
        return _array(self._blocks[filled.name], filled.shape)

    def free(self, filled: Filled) -> None:
        """Lets the worker write there again."""
        self._blocks[filled.name].buf[0] = _FREE


def _array(block: SharedMemory, shape: tuple[int, ...]) -> np.ndarray:
    return np.ndarray(shape, np.uint8, block.buf, _HEAD)


def _unlink(blocks: list[SharedMemory]) -> None:
    for block in blocks:
        block.unlink()
