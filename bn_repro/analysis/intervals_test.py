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
    assert intervals.Interval(math.nan, 3.0, math.inf).text() == "over 3.00"
    assert intervals.Interval(math.nan, 0.0, 5.5).text() == "under 5.50"
    assert intervals.share(0, 2).text(100, 0) == "0 to 84"


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


def arm(*values, first=0):
    return {first + i: value for i, value in enumerate(values)}


def test_pairs_of_a_hand_computed_example():
    # Differences 0.01, 0.02, 0.03: mean 0.02, deviation 0.01; t(2, 0.975) = 4.302653.
    found = intervals.between(arm(0.91, 0.52, 0.73), arm(0.9, 0.5, 0.7))
    assert found.rule == "paired"
    assert found.mean == pytest.approx(0.02)
    assert found.error == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    assert found.is_tie and found.text() == "tie, +2.00 ± 2.48 points"


def test_welch_of_a_hand_computed_example():
    # Variances of the means 1/3 and 4/3: freedom (5/3)^2 / ((1/9 + 16/9) / 2) = 2.941.
    found = intervals.between(arm(1, 2, 3), arm(8, 10, 12, first=1))
    assert found.rule == "Welch" and found.mean == -8 and not found.is_tie
    t = 3.219  # t(2.941, 0.975), between 4.303 of 2 and 3.182 of 3
    assert found.error == pytest.approx(t * math.sqrt(5 / 3), rel=1e-3)


def test_one_seed_has_the_pictures_error_and_says_so():
    found = intervals.between({0: 0.5}, {0: 0.4}, (100, 100))
    error = 1.959964 * math.sqrt((0.25 + 0.24) / 100)
    assert found.error == pytest.approx(error) and found.rule == "binomial"
    assert found.text() == "tie, +10.00 ± 13.72 points (one seed)"
    assert intervals.between({0: 0.5}, {0: 0.4}).is_tie  # on nobody knows how many


def test_equal_values_and_no_spread():
    assert intervals.between(arm(1, 1), arm(1, 1)).is_tie
    assert not intervals.between(arm(1, 1), arm(2, 2, first=5)).is_tie


def test_half_of_two_seeds_in_common_is_no_pair():
    assert intervals.between(arm(1, 2), arm(1, 2, first=1)).rule == "Welch"


@pytest.mark.parametrize("rule", ["paired", "Welch"])
def test_the_interval_covers_what_it_says(rule):
    rng = np.random.default_rng(0)
    covered, first = 0, 10 * (rule == "Welch")
    for _ in range(2000):
        order = rng.normal(size=3) * (rule == "paired")  # what pairs have in common
        one, other = (order + rng.normal(size=3) for _ in range(2))
        found = intervals.between(arm(*one), arm(*other, first=first))
        covered += abs(found.mean) <= found.error
    assert 0.94 < covered / 2000 < 0.975  # of so few seeds Welch is on the safe side


def test_seeds_are_counted_in_the_order_of_the_sides():
    texts = [intervals.count_text(counts) for counts in ([5, 3], [4, 4], [2])]
    assert texts == ["5, 3", "4", "2"]
    found = intervals.between(arm(*range(5)), arm(*range(3)))
    sides = range(5), range(3)
    assert intervals.of_difference("", sides, found, 1, "less").n == "5, 3"
