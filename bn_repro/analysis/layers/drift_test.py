import math
import types

import numpy as np
import pytest

from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError


def activations(
    median, spread, percentiles=(15.0, 50.0, 85.0), *, layers=("hidden_1",)
):
    """Returns activations whose layers share these [T, units] medians and spreads."""
    median, spread = np.asarray(median, float), np.asarray(spread, float)
    stacked = np.stack([median - spread / 2, median, median + spread / 2], axis=1)
    return {
        "steps": 1000 * np.arange(len(median)),
        "percentiles": np.asarray(percentiles),
        "layers": list(layers),
        **dict.fromkeys(layers, stacked),
    }


def test_drifts_of_a_hand_computed_example():
    # Unit 0: the median goes 0 -> 3 -> 1, the spreads are 1, 2, 4, whose mean over time
    # is (1.5 + 3) / 2; unit 1 stands still.
    given = activations([[0, 5], [3, 5], [1, 5]], [[1, 2], [2, 2], [4, 2]])
    given["steps"] = np.array([0, 1000, 2000])
    location, scale = drift.unit_drifts(given, "hidden_1")
    np.testing.assert_allclose(location, [3 / 2.25, 0], atol=1e-6)
    np.testing.assert_allclose(scale, [math.log(4), 0], atol=1e-6)
    given["steps"] = np.array([0, 500, 2000])  # (1.5 + 3 * 3) / 4
    location, _ = drift.unit_drifts(given, "hidden_1")
    assert location[0] == pytest.approx(
        3 / 2.625, rel=0.02
    )  # 500 is between two points


def network(steps):
    """Returns a smooth network: it wanders, and widens from 0.2 to 4, mostly early."""
    time = np.asarray(steps) / 50_000
    median = 2 * np.sin(3 * time) - time
    spread = 0.2 + 3.8 * (1 - np.exp(-4 * time))
    made = activations(median[:, None], spread[:, None])
    return made | {"steps": np.asarray(steps)}


def test_drift_does_not_depend_on_when_the_probes_were():
    even = network(np.arange(0, 50_001, 1000))
    crowded = network(np.unique(np.geomspace(1, 50_000, 40).astype(int) - 1))
    both = network([0, 10, 100, 300, 1000, *range(2000, 50_001, 2000)])
    expected = np.array(drift.unit_drifts(even, "hidden_1")).ravel()
    over = drift.window([even, crowded, both])
    for other in (crowded, both):
        found = drift.unit_drifts(other, "hidden_1", over=over)
        np.testing.assert_allclose(np.ravel(found), expected, rtol=0.03)
        # By the mean over probes it did: by a quarter to three times.
    spreads = [
        drift.median_and_spread(a, "hidden_1")[1].mean() for a in (even, crowded)
    ]
    assert spreads[0] > 3 * spreads[1]


def test_a_window_is_what_all_cover_but_short_and_unfit_ones():
    def probed(*steps, percentiles=(15.0, 50.0, 85.0)):
        zeros = np.zeros((len(steps), 1))
        made = activations(zeros, zeros + 1, percentiles)
        return made | {"steps": np.array(steps)}

    long, middle = probed(0, 50, 100), probed(0, 40, 60)
    odd = [probed(0, 5), probed(0), probed(95, 100), None]
    odd.append(probed(0, 20, percentiles=(5.0, 50.0, 95.0)))
    assert drift.window([long, middle, *odd]) == (0, 60)
    assert drift.window([long, middle], 45) == (45, 100)  # middle has one probe left
    assert drift.window(odd[1:2]) is None and drift.window([]) is None
    location, scale = drift.unit_drifts(middle, "hidden_1", over=drift.Window(0, 100))
    assert np.isnan(location).all() and np.isnan(scale).all()


@pytest.mark.parametrize(("drifts", "typical"), [((1, 3, 2), 2), ((1, 2, 3, 4), 1)])
def test_the_typical_run_has_the_median_drift(drifts, typical):
    every = [activations([[0], [d]], [[1], [1]]) for d in drifts]
    runs = [types.SimpleNamespace(activations=probes) for probes in [None, *every]]
    assert drift.typical_run(runs[1:]) is drift.typical_run(runs) is runs[typical + 1]
    assert drift.typical_run(runs[:1]) is runs[0]


def test_from_step_leaves_out_the_probes_before_it():
    given = activations([[0], [3], [1]], [[1], [2], [4]])
    late = drift.window([given], from_step=1000)
    location, scale = drift.unit_drifts(given, "hidden_1", late)
    np.testing.assert_allclose(location, [2 / 3], rtol=1e-6)
    np.testing.assert_allclose(scale, [math.log(2)], rtol=1e-6)


def test_fewer_than_two_probes_say_nothing():
    given = activations([[0]], [[1]])
    location, scale = drift.unit_drifts(given, "hidden_1")
    assert np.isnan(location).all() and np.isnan(scale).all()


def test_dead_units_have_infinite_drift():
    # Without spread; with too little of it; dead at first; alive.
    given = activations(
        [[1, 1, 1, 1], [2, 2, 2, 2]], [[0, 0.014, 0, 1], [0, 0.014, 1, 1]]
    )
    location, scale = drift.unit_drifts(given, "hidden_1")
    np.testing.assert_allclose(location, [np.inf, np.inf, 2, 1], rtol=1e-4)
    np.testing.assert_allclose(scale, [np.inf, np.inf, np.inf, 0], atol=1e-6)


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
