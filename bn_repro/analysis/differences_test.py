import math
import types

import numpy as np
import pytest

from bn_repro.analysis import differences, testing
from bn_repro.run_folder import records


def arm(*values, first=0):
    return {first + i: value for i, value in enumerate(values)}


def test_pairs_of_a_hand_computed_example():
    # Differences 0.01, 0.02, 0.03: mean 0.02, deviation 0.01; t(2, 0.975) = 4.302653.
    found = differences.between(arm(0.91, 0.52, 0.73), arm(0.9, 0.5, 0.7))
    assert found.rule == "paired"
    assert found.mean == pytest.approx(0.02)
    assert found.error == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    assert found.is_tie and found.text() == "tie, +2.00 ± 2.48 points"


def test_welch_of_a_hand_computed_example():
    # Variances of the means 1/3 and 4/3: freedom (5/3)^2 / ((1/9 + 16/9) / 2) = 2.941.
    found = differences.between(arm(1, 2, 3), arm(8, 10, 12, first=1))
    assert found.rule == "Welch" and found.mean == -8 and not found.is_tie
    t = 3.219  # t(2.941, 0.975), between 4.303 of 2 and 3.182 of 3
    assert found.error == pytest.approx(t * math.sqrt(5 / 3), rel=1e-3)


def test_one_seed_has_the_pictures_error_and_says_so():
    found = differences.between({0: 0.5}, {0: 0.4}, (100, 100))
    error = 1.959964 * math.sqrt((0.25 + 0.24) / 100)
    assert found.error == pytest.approx(error) and found.rule == "binomial"
    assert found.text() == "tie, +10.00 ± 13.72 points (one seed)"
    assert differences.between({0: 0.5}, {0: 0.4}).is_tie  # on nobody knows how many


def test_equal_values_and_no_spread():
    assert differences.between(arm(1, 1), arm(1, 1)).is_tie
    assert not differences.between(arm(1, 1), arm(2, 2, first=5)).is_tie


def test_half_of_two_seeds_in_common_is_no_pair():
    assert differences.between(arm(1, 2), arm(1, 2, first=1)).rule == "Welch"


def test_a_pair_has_seed_and_order_of_the_data_in_common():
    def run(seed, order):
        return types.SimpleNamespace(config={"seed": seed, "data": {"seed": order}})

    assert differences.by_seed([run(3, -1), run(3, 7)], [1, 2]) == {
        (3, 3): 1,
        (3, 7): 2,
    }


@pytest.mark.parametrize("rule", ["paired", "Welch"])
def test_the_interval_covers_what_it_says(rule):
    rng = np.random.default_rng(0)
    covered, first = 0, 10 * (rule == "Welch")
    for _ in range(2000):
        order = rng.normal(size=3) * (rule == "paired")  # what pairs have in common
        one, other = (order + rng.normal(size=3) for _ in range(2))
        found = differences.between(arm(*one), arm(*other, first=first))
        covered += abs(found.mean) <= found.error
    assert 0.94 < covered / 2000 < 0.975  # of so few seeds Welch is on the safe side


def test_higher_at_counts_seed_by_seed_after_step_0(tmp_path):
    testing.write_seeds(tmp_path, "before", 0.1, [0.9, 0.8, 0.7])
    testing.write_seeds(tmp_path, "none", 0.1, [0.9, 0.7])
    runs = {"batch_norm": [], "none": []}
    for run in records.find_runs(tmp_path):
        runs[run.config["model"]["norm"]].append(run)
    # Seed 0: equal; seed 1: higher at three evaluations; seed 2 has no partner.
    assert differences.higher_at(runs["batch_norm"], runs["none"]) == (3, 6)
