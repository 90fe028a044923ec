"""Sources are sorted by class: evenly spaced examples of one, or all in mixed order."""

import dataclasses
import functools
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class EvenlySpaced:
    """A source that holds `count` of another source's examples, evenly spaced."""

    source: object  # random access to examples
    count: int  # number of examples, at most the source's

    def __len__(self) -> int:
        return min(self.count, len(self.source))

    def __getitem__(self, i: int) -> dict:
        return self.source[int(evenly_spaced(len(self.source), len(self))[i])]

    def digest(self) -> str:
        """Returns the sha256 of which examples it holds."""
        held = f"{len(self)} evenly spaced of {self.source.digest()}"
        return hashlib.sha256(held.encode()).hexdigest()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.source.class_names

    @property
    def wnids(self) -> list[str]:
        """Names of the class folders, likewise."""
        return self.source.wnids


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A source with its examples in one fixed random order.

    A mini-batch of a sorted source is of one class, whose own statistics take away what
    tells it from the others.
    """

    source: object  # random access to examples

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> dict:
        return self.source[int(self._order[i])]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.source.class_names

    @functools.cached_property
    def _order(self) -> np.ndarray:
        return np.random.default_rng(0).permutation(len(self.source))


def evenly_spaced(size: int, count: int) -> np.ndarray:
    """Returns `count` different indices below `size` at equal distances, int64."""
    return ((np.arange(count) + 0.5) * size // count).astype(np.int64)
