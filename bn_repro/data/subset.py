"""Part of a source: evenly spaced examples, since sources are sorted by class."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class EvenlySpaced:
    """A source that holds `count` of another source's examples, evenly spaced.

    Attributes:
      source: random access to examples.
      count: number of examples, at most the source's.
    """

    source: object
    count: int

    def __len__(self) -> int:
        return min(self.count, len(self.source))

    def __getitem__(self, i: int) -> dict:
        return self.source[int(evenly_spaced(len(self.source), len(self))[i])]

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.source.class_names


def evenly_spaced(size: int, count: int) -> np.ndarray:
    """Returns `count` different indices below `size` at equal distances, int64."""
    return ((np.arange(count) + 0.5) * size // count).astype(np.int64)
