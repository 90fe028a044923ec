"""Counts of mistakes against loops over pictures in plain Python."""

import numpy as np
import pytest

from bn_repro.analysis import mistakes

CLASSES = 7
NAMES = [f"name {label}, synonym" for label in range(CLASSES)]


@pytest.fixture(scope="module")
def answers():
    """Probabilities of 400 pictures, some equal; class 5 has no pictures."""
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.full(CLASSES, 0.4), 400).astype(np.float32)
    probabilities[:40] = np.round(probabilities[:40], 1)  # ties
    probabilities[40] = 1 / CLASSES
    labels = rng.choice([0, 1, 2, 3, 4, 6], 400).astype(np.int32)
    return probabilities, labels


def taken(probabilities, labels):
    """{(class, what it was taken for): pictures}; the lower of equal ones wins."""
    counts = {}
    for row, label in zip(probabilities.tolist(), labels, strict=True):
        pair = int(label), min(range(CLASSES), key=lambda c, row=row: (-row[c], c))
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def test_confusion_counts_every_picture(answers):
    expected = np.zeros((CLASSES, CLASSES), np.int64)
    for pair, count in taken(*answers).items():
        expected[pair] = count
    np.testing.assert_array_equal(mistakes.confusion(*answers), expected)


def test_rows_are_of_each_class_with_pictures(answers):
    counts = taken(*answers)
    rows = mistakes.class_table(mistakes.confusion(*answers), NAMES).rows
    accuracies = [float(row[1].split()[0]) for row in rows]
    assert len(rows) == CLASSES - 1 and accuracies == sorted(accuracies)
    for name, accuracy, of, predicted, rival in rows:
        label = NAMES.index(name)
        own = {c: n for (a, c), n in counts.items() if a == label}
        right = own.pop(label, 0)
        assert int(of) == right + sum(own.values())
        assert accuracy == f"{100 * right / int(of):.1f} %"
        assert int(predicted) == sum(n for (_, c), n in counts.items() if c == label)
        most = max(own, key=lambda c, own=own: (own[c], -c))
        assert rival == f"{NAMES[most]} ({own[most]})"


def test_pairs_are_the_most_frequent_first(answers):
    counts = {pair: n for pair, n in taken(*answers).items() if pair[0] != pair[1]}
    rows = mistakes.pairs_table(mistakes.confusion(*answers), NAMES, 5).rows
    assert [int(row[2]) for row in rows] == sorted(counts.values(), reverse=True)[:5]
    for row in rows:
        label, other = NAMES.index(row[0]), NAMES.index(row[1])
        assert int(row[2]) == counts[label, other]
        assert int(row[5]) == counts.get((other, label), 0)


def test_the_surest_mistakes_come_first_and_masked_pictures_never(answers):
    probabilities, labels = answers
    mask = np.arange(400) % 3 > 0
    rows = mistakes.mistakes_table(probabilities, labels, mask, NAMES, 1_000).rows
    found = [int(row[0]) for row in rows]
    wrong = [i for i in range(400) if probabilities[i].argmax() != labels[i]]
    assert sorted(found) == [i for i in wrong if mask[i]]
    sure = [probabilities[i].max() for i in found]
    assert sure == sorted(sure, reverse=True)


def test_names_are_short_but_differ():
    names = ["tench, Tinca tinca", "crane", "maillot", "maillot, tank suit", "crane"]
    assert mistakes.short_names(names) == [
        *("tench", "crane [1]", "maillot"),
        *("maillot, tank suit", "crane [4]"),
    ]
