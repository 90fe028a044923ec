"""Sources are sorted by class: evenly spaced examples of one, or all in mixed order."""

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """A source that holds some of another source's examples, in an order of its own."""

    source: object  # random access to examples
    indices: np.ndarray  # of those held, in that source
    what: str  # says which those are, for `digest`

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> dict:
        return self.source[int(self.indices[i])]

    def digest(self) -> str:
        """Returns the sha256 of which examples it holds."""
        held = f"{len(self)} {self.what} of {self.source.digest()}"
        return hashlib.sha256(held.encode()).hexdigest()

    def pictures(self) -> str:
        """Returns a digest of the pictures that it holds, in their order."""
        return self.source.pictures(self.indices)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.source.class_names

    @property
    def wnids(self) -> list[str]:
        """Names of the class folders, likewise."""
        return self.source.wnids


def limited(source, count: int) -> Chosen:
    """Returns a source of at most `count` of another's examples, evenly spaced."""
    size = len(source)
    return Chosen(source, evenly_spaced(size, min(count, size)), "evenly spaced")


def mixed(source) -> Chosen:
    """Returns a source with another's examples in one fixed random order.

    A mini-batch of a sorted source is of one class, whose own statistics take away what
    tells it from the others.
    """
    order = np.random.default_rng(0).permutation(len(source))
    return Chosen(source, order, "mixed")


def evenly_spaced(size: int, count: int) -> np.ndarray:
    """Returns `count` different indices below `size` at equal distances, int64."""
    return ((np.arange(count) + 0.5) * size // count).astype(np.int64)
