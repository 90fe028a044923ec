import math

import numpy as np
import pytest

from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError


def activations(median, spread, percentiles=(15.0, 50.0, 85.0)):
    """Returns activations with these [T, units] medians and symmetric spreads."""
    median, spread = np.asarray(median, float), np.asarray(spread, float)
    stacked = np.stack([median - spread / 2, median, median + spread / 2], axis=1)
    return {
        "steps": 1000 * np.arange(len(median)),
        "percentiles": np.asarray(percentiles),
        "layers": ["hidden_1"],
        "hidden_1": stacked.astype(np.float32),
    }


def test_drifts_of_a_hand_computed_example():
    # Unit 0: the median goes 0 -> 3 -> 1, the spreads are 1, 2, 3; unit 1 stands still.
    given = activations([[0, 5], [3, 5], [1, 5]], [[1, 2], [2, 2], [3, 2]])
    location, scale = drift.unit_drifts(given, "hidden_1")
    np.testing.assert_allclose(location, [3 / 2, 0])
    np.testing.assert_allclose(scale, [math.log(3), 0], atol=1e-6)


def test_from_step_leaves_out_the_probes_before_it():
    given = activations([[0], [3], [1]], [[1], [2], [4]])
    location, scale = drift.unit_drifts(given, "hidden_1", from_step=1000)
    np.testing.assert_allclose(location, [2 / 3])
    np.testing.assert_allclose(scale, [math.log(2)], rtol=1e-6)


def test_fewer_than_two_probes_say_nothing():
    given = activations([[0], [3]], [[1], [2]])
    location, scale = drift.unit_drifts(given, "hidden_1", from_step=1000)
    assert np.isnan(location).all() and np.isnan(scale).all()


def test_a_unit_without_spread_has_infinite_drift_or_none():
    given = activations([[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 1]])
    location, scale = drift.unit_drifts(given, "hidden_1")
    np.testing.assert_array_equal(location, [np.inf, 0, 0])
    np.testing.assert_array_equal(scale, [0, 0, np.inf])


def test_quartiles_are_values_of_units_and_bear_infinity():
    assert drift.quartiles(np.array([4.0, 1, 3, 2])) == (2, 1, 3)
    infinite = drift.quartiles(np.array([1, 2, np.inf, np.inf, np.inf]))
    assert infinite == (np.inf, 2, np.inf)


@pytest.mark.parametrize("units", [1, 2, 99, 100])
def test_the_typical_unit_has_its_layers_median_drift(units):
    moved = np.random.default_rng(units).permutation(units) + 1.0
    given = activations([np.zeros(units), moved], np.ones((2, units)))
    location, _ = drift.unit_drifts(given, "hidden_1")
    typical = drift.typical_unit(given, "hidden_1")
    assert location[typical] == drift.quartiles(location).median
    assert location[typical] == (units + 1) // 2  # the lower middle of 1 .. units


def test_a_percentile_that_was_not_recorded_is_named():
    given = activations([[0]], [[1]], percentiles=(5.0, 50.0, 95.0))
    with pytest.raises(UserError, match="percentile 15 was not recorded"):
        drift.unit_drifts(given, "hidden_1")
