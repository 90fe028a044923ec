"""Counts of mistakes against loops over pictures in plain Python and float64."""

import numpy as np
import pytest

from bn_repro.analysis import mistakes

CLASSES = 7


@pytest.fixture(scope="module")
def answers():
    """Probabilities of 400 pictures, some equal; class 5 has no pictures."""
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.full(CLASSES, 0.4), 400).astype(np.float32)
    probabilities[:40] = np.round(probabilities[:40], 1)  # ties
    probabilities[40] = 1 / CLASSES
    labels = rng.choice([0, 1, 2, 3, 4, 6], 400).astype(np.int32)
    return probabilities, labels


def likeliest(row, most):
    """The classes from the likeliest on, the lower of equal ones first."""
    return sorted(range(len(row)), key=lambda c: (-float(row[c]), c))[:most]


def taken(probabilities, labels):
    """{(class, what it was taken for): pictures}."""
    counts = {}
    for row, label in zip(probabilities, labels, strict=True):
        pair = int(label), likeliest(row, 1)[0]
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def test_confusion_counts_every_picture(answers):
    expected = np.zeros((CLASSES, CLASSES), np.int64)
    for pair, count in taken(*answers).items():
        expected[pair] = count
    found = mistakes.confusion(*answers)
    np.testing.assert_array_equal(found, expected)
    assert found.sum() == 400


def test_scores_are_of_each_class(answers):
    counts = taken(*answers)
    scores = mistakes.class_scores(*answers)
    assert [score.label for score in scores] == list(range(CLASSES))
    for label, score in enumerate(scores):
        rows = [row for row, own in zip(*answers, strict=True) if own == label]
        others = [(counts.get((label, c), 0), -c) for c in range(CLASSES) if c != label]
        most, rival = max(others)
        assert score.count == len(rows)
        assert score.correct == counts.get((label, label), 0)
        assert score.correct5 == sum(label in likeliest(row, 5) for row in rows)
        assert score.predicted == sum(n for (_, c), n in counts.items() if c == label)
        assert (score.taken, score.rival) == (most, -rival if most else -1)
        if rows:
            assert score.accuracy == score.correct / len(rows)
    assert scores[5].count == 0
    assert np.isnan(scores[5].accuracy)
    assert scores[5].rival == -1


def test_pairs_are_ordered_by_count_then_share(answers):
    counts = taken(*answers)
    of = [sum(n for (c, _), n in counts.items() if c == k) for k in range(CLASSES)]
    wrong = [(a, b, n) for (a, b), n in counts.items() if a != b]
    wrong.sort(key=lambda pair: (-pair[2], -pair[2] / of[pair[0]], pair[0], pair[1]))
    expected = [(a, b, n, of[a], counts.get((b, a), 0)) for a, b, n in wrong]
    found = mistakes.confused_pairs(mistakes.confusion(*answers), 1000)
    assert [tuple(pair) for pair in found] == expected
    first = mistakes.confused_pairs(mistakes.confusion(*answers), 4)
    assert first == found[:4]


def test_mistakes_are_the_surest_ones_that_count(answers):
    probabilities, labels = answers
    mask = np.arange(len(labels)) % 3 > 0
    expected = []
    for i, (row, label) in enumerate(zip(probabilities, labels, strict=True)):
        best = likeliest(row, 1)[0]
        if mask[i] and best != label:
            expected.append((i, label, best, float(row[best]), float(row[label])))
    expected.sort(key=lambda mistake: (-mistake[3], mistake[0]))
    found = mistakes.confident_mistakes(probabilities, labels, mask, 50)
    assert [tuple(mistake) for mistake in found] == expected[:50]


def test_without_mistakes_there_are_none():
    probabilities, labels = np.eye(3, dtype=np.float32), np.arange(3, dtype=np.int32)
    counts = mistakes.confusion(probabilities, labels)
    mask = np.ones(3, bool)
    assert mistakes.confused_pairs(counts, 5) == []
    assert mistakes.confident_mistakes(probabilities, labels, mask, 5) == []
    assert {score.rival for score in mistakes.class_scores(probabilities, labels)} == {
        -1
    }


def test_no_two_classes_have_one_name():
    names = ["tench, Tinca tinca", "crane", "maillot", "crane", "maillot, tank suit"]
    assert mistakes.short_names(names) == [
        "tench",
        "crane [1]",
        "maillot",
        "crane [3]",
        "maillot, tank suit",
    ]
