"""Which classes a network gets wrong, what it takes them for, and its surest mistakes.

From class probabilities [n, classes] and labels [n] of pictures, as numpy arrays.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class ClassScore(NamedTuple):
    """How the pictures of one class fared.

    Attributes:
      label: of the class.
      count: its pictures.
      correct: of those, how many have it as the likeliest class.
      correct5: among the five likeliest.
      predicted: pictures, of any class, that were taken for it.
      rival: the other class that its pictures were most often taken for; -1: none.
      taken: how often that was.
    """

    label: int
    count: int
    correct: int
    correct5: int
    predicted: int
    rival: int
    taken: int

    @property
    def accuracy(self) -> float:
        """Share of the class's pictures that are right; NaN where it has none."""
        return self.correct / self.count if self.count else float("nan")


class Pair(NamedTuple):
    """A class that was taken for another.

    Attributes:
      label: of the class.
      predicted: the other one.
      count: pictures of the class that were taken for the other.
      of: pictures of the class.
      reverse: pictures of the other that were taken for the class.
    """

    label: int
    predicted: int
    count: int
    of: int
    reverse: int


class Mistake(NamedTuple):
    """A picture that was taken for another class.

    Attributes:
      index: of the picture.
      label: of its class.
      predicted: what it was taken for.
      probability: of that.
      own: probability of its class.
    """

    index: int
    label: int
    predicted: int
    probability: float
    own: float


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns how many pictures of a class were taken for another.

    Args:
      probabilities: [n, classes]; among equal ones the lower class wins.
      labels: integers [n].

    Returns:
      int64 [classes, classes]: rows the classes, columns what they were taken for.
    """
    classes = probabilities.shape[1]
    cell = labels.astype(np.int64) * classes + probabilities.argmax(1)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def class_scores(probabilities: np.ndarray, labels: np.ndarray) -> list[ClassScore]:
    """Returns the score of each class, in the order of labels; arguments as above."""
    counts = confusion(probabilities, labels)
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    hit5 = (likeliest == labels[:, None]).any(1)
    correct5 = np.bincount(labels[hit5], minlength=len(counts))
    others = counts - np.diag(np.diag(counts))
    rivals, taken = others.argmax(1), others.max(1)
    columns = (
        range(len(counts)),
        counts.sum(1).tolist(),
        np.diag(counts).tolist(),
        correct5.tolist(),
        counts.sum(0).tolist(),
        np.where(taken > 0, rivals, -1).tolist(),
        taken.tolist(),
    )
    return [ClassScore(*values) for values in zip(*columns, strict=True)]


def confused_pairs(counts: np.ndarray, most: int) -> list[Pair]:
    """Returns the pairs of classes that are confused most often, most often first.

    Of equal counts the larger share of the class's pictures comes first, then the lower
    labels.

    Args:
      counts: of `confusion`.
      most: how many pairs.
    """
    of = counts.sum(1)
    labels, predicted = np.nonzero(counts - np.diag(np.diag(counts)))
    count = counts[labels, predicted]
    order = np.lexsort((predicted, labels, -count / of[labels], -count))[:most]
    return [
        Pair(
            int(label),
            int(other),
            int(counts[label, other]),
            int(of[label]),
            int(counts[other, label]),
        )
        for label, other in zip(labels[order], predicted[order], strict=True)
    ]


def confident_mistakes(
    probabilities: np.ndarray, labels: np.ndarray, mask: np.ndarray, most: int
) -> list[Mistake]:
    """Returns the mistakes with the highest probability of a wrong class, surest first.

    Args:
      probabilities: [n, classes]; among equal ones the lower class wins.
      labels: integers [n].
      mask: bool [n], False where a picture does not count; indices count all.
      most: how many mistakes.
    """
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero((predicted != labels) & mask)
    surest = np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")[:most]
    return [
        Mistake(
            int(i),
            int(labels[i]),
            int(predicted[i]),
            float(probabilities[i, predicted[i]]),
            float(probabilities[i, labels[i]]),
        )
        for i in wrong[surest]
    ]


def short_names(names: Sequence[str]) -> list[str]:
    """Returns each class's first name, or more of it where two share the first.

    ImageNet's names are lists of synonyms: "tench, Tinca tinca". Some classes share the
    first ("maillot", "maillot, tank suit"), and two share all of it ("crane", the bird
    and the machine), which then carry their labels: "crane [134]".
    """
    first = [name.split(",")[0].strip() for name in names]
    named = [
        short if first.count(short) == 1 else name
        for short, name in zip(first, names, strict=True)
    ]
    return [
        name if named.count(name) == 1 else f"{name} [{label}]"
        for label, name in enumerate(named)
    ]
