import dataclasses

import numpy as np
import pytest

from bn_repro.analysis import testing
from bn_repro.analysis.layers import drift, layer_axes, layers_over_time
from bn_repro.analysis.layers.drift_test import activations
from bn_repro.errors import UserError
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def test_movement_since_the_first_probe_of_a_hand_computed_example():
    # Units 0 and 1 move 3 and 2 of a mean spread of 2, unit 2 stands still.
    median = [[0, 5, 1], [3, 3, 1]]
    spread = [[1, 1, 2], [3, 3, 2]]
    given = activations(median, spread, layers=["a", "b"])
    moved = layers_over_time.location_moved(given)
    np.testing.assert_allclose(moved, [[0, 1.0]] * 2)  # the median of 1.5, 1, 0
    changed = layers_over_time.scale_moved(activations(median, [[1, 1, 2], [3, 2, 1]]))
    np.testing.assert_allclose(changed, [[0, np.log(2)]])  # of ln 3, ln 2, -ln 2


def test_units_without_spread_do_not_hide_the_others():
    given = activations([[0, 0, 0], [1, 0, 1]], [[0, 0, 2], [0, 0, 2]])
    moved = layers_over_time.location_moved(given)  # of infinity, 0, 1/2
    np.testing.assert_allclose(moved, [[0, 0.5]])
    np.testing.assert_allclose(layers_over_time.scale_moved(given), [[0, 0]])


def test_scores_are_the_drifts_of_every_layer(sample_figure1):
    run = sample_figure1.plain.runs[0]
    late = drift.Window(5000, 50_000)
    scores = drift.layer_scores(run.activations, late)
    assert scores.shape == (2, 3, 3)
    location, scale = drift.unit_drifts(run.activations, "hidden_2", late)
    assert tuple(scores[0, 1]) == drift.quartiles(location)
    assert tuple(scores[1, 1]) == drift.quartiles(scale)


def test_bands_are_the_typical_units_of_all_layers_side_by_side(sample_figure1):
    runs = [sample_figure1.plain.runs[0], sample_figure1.bn.runs[0]]
    figure, caption = layers_over_time.draw_layers(runs)
    assert len(figure.axes) == 3 * 2
    titles = [axes.get_title("left") for axes in figure.axes[:2]]
    assert titles == [
        "plain_seed0: without BN, rate 0.01",
        "bn_seed0: with BN, rate 0.01",
    ]
    assert [a.get_ylabel() for a in figure.axes[::2]] == [
        "hidden_1",
        "hidden_2",
        "hidden_3",
    ]
    unit = drift.typical_unit(runs[1].activations, "hidden_2")
    drawn = [line.get_ydata() for line in figure.axes[3].lines]
    np.testing.assert_array_equal(
        np.stack(drawn, axis=1), runs[1].activations["hidden_2"][:, :, unit]
    )
    assert "typical unit" in caption


def test_a_dead_typical_unit_is_called_dead(sample_figure1):
    run = sample_figure1.plain.runs[0]
    stuck = {"hidden_2": run.activations["hidden_2"] * 1e-3 + 1}
    odd = dataclasses.replace(run, activations=run.activations | stuck)
    figure, _ = layers_over_time.draw_layers([odd])
    shown = [axes.texts[0].get_text().endswith(", dead") for axes in figure.axes]
    assert shown == [False, True, False]


def deep_run(
    folder, name, layers=20, steps=(0, 1, 10, 100, 3000), end=0.1, **overrides
):
    """Writes a run of Inception with probes of so many layers; returns it."""
    testing.write_course(folder / name, [end], **overrides)
    writer = RunWriter(folder / name)
    rng = np.random.default_rng(0)
    names = [f"{3 + i // 8}a/branch_{i % 8}" for i in range(layers)]
    for step in steps:
        inputs = rng.normal(size=(1, 3, 5))
        shares = np.full((layers, 8), 1 / 8)
        writer.append_activations(
            step,
            {
                layer: np.sort(inputs, axis=1)[0] * (1 + i)
                for i, layer in enumerate(names)
            },
            percentiles=(15, 50, 85),
            gradient_norm=np.arange(layers) * (1 + step),
            saturated=np.linspace(0, 1, layers),
            input_histogram=shares,
            output_histogram=shares,
            input_range=np.tile([-3.0, 3.0], (layers, 1)),
            output_range=np.tile([0.0, 3.0], (layers, 1)),
        )
    return records.read_run(folder / name)


def test_many_layers_are_a_heat_map_over_layers_and_probes(tmp_path):
    runs = [deep_run(tmp_path, "inception", model__norm="none")]
    runs.append(deep_run(tmp_path, "bn_x5", steps=(0, 1, 100)))
    figure, caption = layers_over_time.draw_layers(runs)
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [values.shape for values in maps] == [(20, 5), (20, 3)] * 2
    for run, values in zip(runs, maps[:2], strict=True):
        np.testing.assert_allclose(
            values, layers_over_time.location_moved(run.activations)
        )
    for run, values in zip(runs, maps[2:], strict=True):
        np.testing.assert_allclose(
            values, layers_over_time.scale_moved(run.activations)
        )
    limits = [a.images[0].get_clim() for a in figure.axes if a.images]
    assert limits[0] == limits[1] and limits[0][0] == 0
    assert limits[2] == limits[3] and limits[2][0] == -limits[2][1]
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert ticks == ["3a", "4a", "5a"]
    assert "first layer at the top" in caption


def test_drift_by_layer_is_a_curve_a_run(tmp_path, sample_figure1):
    runs = [sample_figure1.plain.runs[0], sample_figure1.bn.runs[0]]
    figure, caption = layers_over_time.draw_drift(runs, from_step=5000)
    location, scale = figure.axes
    assert "from step 5,000 to 50,000" in caption
    scores = drift.layer_scores(runs[1].activations, drift.Window(5000, 50_000))
    np.testing.assert_allclose(location.lines[1].get_ydata(), scores[0, :, 0])
    np.testing.assert_allclose(scale.lines[1].get_ydata(), scores[1, :, 0])
    figure, caption = layers_over_time.draw_drift([deep_run(tmp_path, "bn_x5"), *runs])
    assert len(figure.axes[0].lines[0].get_xdata()) == 20
    assert list(figure.axes[0].lines[1].get_xdata()) == [20, 21, 22]


def test_runs_that_did_not_learn_leave_the_axes_of_drift_to_the_others(
    tmp_path, sample_figure1
):
    trained = sample_figure1.bn.runs[0]
    far = {"steps": (0, 10_000, 50_000)}
    guessing = deep_run(tmp_path, "inception_sigmoid", end=0.01, **far)
    figure, caption = layers_over_time.draw_drift([trained, guessing])
    highest = [np.nanmax(axes.lines[1].get_ydata()) for axes in figure.axes]
    tops = [axes.get_ylim()[1] for axes in figure.axes]
    assert highest[0] > tops[0]
    assert caption.endswith(f"that learned: {layer_axes.title(guessing)}.")
    learning = deep_run(tmp_path, "bn_x5", end=0.1, **far)
    figure, caption = layers_over_time.draw_drift([trained, learning])
    assert figure.axes[0].get_ylim()[1] > highest[0] and "Beyond" not in caption
    figure, caption = layers_over_time.draw_drift([guessing])
    assert figure.axes[0].get_ylim()[1] > highest[0] and "Beyond" not in caption


def test_a_run_that_was_not_probed_over_these_steps_is_named(tmp_path, sample_figure1):
    whole = sample_figure1.bn.runs[0]
    testing.write_run(tmp_path / "short", steps=3000)
    short = records.read_run(tmp_path / "short")
    _, caption = layers_over_time.draw_drift([whole, short], from_step=5000)
    assert "these steps, or all dead: short: with BN, rate 0.01." in caption


def test_a_run_without_two_probes_is_named(tmp_path, sample_figure1):
    testing.write_run(tmp_path / "short", steps=500)
    short = records.read_run(tmp_path / "short")
    assert layer_axes.probed([short, *sample_figure1.bn.runs]) == (
        sample_figure1.bn.runs
    )
    for draw in (layers_over_time.draw_layers, layers_over_time.draw_drift):
        with pytest.raises(UserError, match="run short has fewer than two probes"):
            draw([short])
        with pytest.raises(UserError, match="no run to draw"):
            draw([])


def test_the_axis_of_probes_is_logarithmic_where_they_are():
    assert layer_axes.is_logarithmic(np.array([0, 1, 3, 10, 30, 100]))
    assert not layer_axes.is_logarithmic(np.arange(0, 50_001, 1000))
