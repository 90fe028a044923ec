"""What a network gets wrong: by class, by pair of classes, and its surest mistakes.

From class probabilities [n, classes] and labels [n] of pictures, as numpy arrays. Among
equal probabilities the lower class wins.
"""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis.tables import Table


def report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray,
    names: Sequence[str],
    most: int = 30,
) -> str:
    """Returns the three tables as Markdown.

    Args:
      probabilities: [n, classes].
      labels: integers [n].
      mask: bool [n], False for pictures that could not be decoded.
      names: of the classes, in the order of labels.
      most: rows of the tables of pairs and of pictures.
    """
    names = short_names(names)
    counts = confusion(probabilities[mask], labels[mask])
    tables = [
        pairs_table(counts, names, most),
        mistakes_table(probabilities, labels, mask, names, most),
        class_table(counts, names),
    ]
    return "\n".join(table.markdown() for table in tables)


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns how many pictures of a class were taken for another.

    Returns:
      int64 [classes, classes]: rows the classes, columns what they were taken for.
    """
    classes = probabilities.shape[1]
    cell = labels.astype(np.int64) * classes + probabilities.argmax(1)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def class_table(counts: np.ndarray, names: Sequence[str]) -> Table:
    """Returns one row a class that has pictures, those of the lowest accuracy first."""
    of, right = counts.sum(1), np.diag(counts)
    others = _others(counts)
    lowest_first = np.argsort(right / np.maximum(of, 1), kind="stable")
    rows = [
        {
            "Class": names[label],
            "Top-1 accuracy": _percent(right[label], of[label]),
            "Pictures": f"{of[label]:,}",
            "Taken for it": f"{counts[:, label].sum():,}",
            "Most often taken for": _most_often(others[label], names),
        }
        for label in lowest_first
        if of[label]
    ]
    note = (
        "Pictures: of the class. Taken for it: pictures of all classes whose likeliest "
        "class it is. Two binomial standard errors of an accuracy over n pictures are "
        "up to 100 / sqrt(n) points: much of the order is chance."
    )
    return Table.of("Accuracy of each class", rows, note)


def pairs_table(counts: np.ndarray, names: Sequence[str], most: int) -> Table:
    """Returns the pairs of classes that are confused most often, most often first.

    Of equal counts the larger share of the class's pictures comes first, then the lower
    labels.
    """
    of, others = counts.sum(1), _others(counts)
    labels, predicted = np.nonzero(others)
    count = others[labels, predicted]
    order = np.lexsort((predicted, labels, -count / of[labels], -count))[:most]
    rows = [
        {
            "Class": names[label],
            "Taken for": names[other],
            "Pictures": f"{counts[label, other]:,}",
            "Of": f"{of[label]:,}",
            "Share": _percent(counts[label, other], of[label]),
            "The other way": f"{counts[other, label]:,}",
        }
        for label, other in zip(labels[order], predicted[order], strict=True)
    ]
    note = (
        "Of: the class's pictures. The other way: pictures of the second class that "
        "were taken for the first."
    )
    return Table.of("Classes taken for one another", rows, note)


def mistakes_table(probabilities, labels, mask, names: Sequence[str], most: int):
    """Returns the mistakes with the highest probability of a wrong class as a Table."""
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero((predicted != labels) & mask)
    surest = np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")[:most]
    rows = [
        [
            str(i),
            names[labels[i]],
            names[predicted[i]],
            f"{100 * probabilities[i, predicted[i]]:.1f} %",
            f"{100 * probabilities[i, labels[i]]:.1f} %",
        ]
        for i in wrong[surest]
    ]
    columns = ["Picture", "Class", "Taken for", "With probability", "Of its class"]
    note = "Picture: its number among those evaluated, from 0, in the order of names."
    return Table("Confident mistakes", columns, rows, note)


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


def _others(counts: np.ndarray) -> np.ndarray:
    return counts - np.diag(np.diag(counts))


def _most_often(others: np.ndarray, names: Sequence[str]) -> str:
    rival = others.argmax()
    return f"{names[rival]} ({others[rival]:,})" if others[rival] else "-"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
