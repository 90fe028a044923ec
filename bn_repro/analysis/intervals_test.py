import math

import numpy as np
import pytest
from scipy import stats

from bn_repro.analysis import intervals


def test_welchs_interval_is_scipys():
    one, other = [3.0, 4.0, 5.5, 4.1], [1.0, 1.5, 1.1]
    found = intervals.difference(one, other)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert found.estimate == pytest.approx(np.mean(one) - np.mean(other))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_a_mean_is_students():
    found = intervals.mean([1.0, 2.0, 3.0, 4.0, 5.0])
    reach = 2.7764 * math.sqrt(2.5 / 5)
    assert found == pytest.approx((3.0, 3 - reach, 3 + reach), abs=1e-4)


def test_a_ratio_is_the_difference_of_logarithms():
    found = intervals.ratio([math.e**2, math.e**3], [math.e, math.e**1.5])
    assert found == pytest.approx(np.exp(intervals.difference([2, 3], [1, 1.5])))
    assert found.estimate == pytest.approx(math.e**1.25)


def test_without_seeds_or_spread_there_are_no_limits():
    for found in (
        intervals.difference([1.0], [2.0, 3.0]),
        intervals.difference([1.0, 1.0], [2.0, 2.0]),
        intervals.mean([4.0]),
        intervals.mean([]),
        intervals.difference([], [1.0, 2.0]),
    ):
        assert math.isnan(found.low) and math.isnan(found.high)
        assert (found.text(), found.above(0)) == ("-", "not decided")


def test_a_verdict_needs_the_whole_interval_on_one_side():
    found = intervals.Interval(2.0, 1.5, 2.5)
    assert [found.above(x) for x in (1.4, 1.6, 2.6)] == ["yes", "not decided", "no"]
    assert found.text() == "1.50 to 2.50"
    assert found.text(100, 0, sign=True) == "+150 to +250"
    assert intervals.Interval(math.nan, 3.0, math.inf).text() == "above 3.00"


def test_the_exact_interval_of_a_share():
    """Clopper and Pearson (1934): of 3 of 3 the low limit is 0.025 ** (1 / 3)."""
    assert intervals.share(3, 3) == pytest.approx((1, 0.025 ** (1 / 3), 1))
    assert intervals.share(0, 3) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 3)))
    tail = intervals.share(2, 5).low  # P(X >= 2) at the low limit is 2.5 %
    upper = 1 - (1 - tail) ** 5 - 5 * tail * (1 - tail) ** 4
    assert upper == pytest.approx(0.025)


def test_mcnemar_counts_the_pictures_on_which_they_differ():
    one = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1, 0], bool)
    other = np.array([0, 0, 0, 0, 0, 1, 1, 0, 1, 0], bool)
    # 5 against 1 of 6: 2 (1 + 6) / 64
    assert intervals.mcnemar(one, other) == pytest.approx((5, 1, 14 / 64))
    assert intervals.mcnemar(other, one) == pytest.approx((1, 5, 14 / 64))
    assert intervals.mcnemar(one, one) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="10 pictures cannot be paired with 9"):
        intervals.mcnemar(one, other[:9])
