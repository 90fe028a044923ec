import dataclasses

import numpy as np
import pytest

from bn_repro.analysis import testing, variations
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def write(folder, name, norm, finals, layers=3, ratios=(0.5,), **overrides):
    """Writes a run a seed; the saturated shares of its layers rise by a tenth each."""
    values = {"data__name": "mnist", "data__classes": 10, "model__name": "mlp"}
    values |= {"model__nonlinearity": "sigmoid", "model__dropout": 0.0}
    values |= {"model__hidden": [100] * layers, "model__norm": norm, **overrides}
    for seed, final in enumerate(finals):
        path = folder / f"{name}_{norm}_seed{seed}"
        testing.write_course(
            path, [0.1, final], seed=seed, split="test", steps=250, **values
        )
        writer = RunWriter(path)
        row = {"step": 250, "split": "train", "statistics": "batch", "accuracy": 0.98}
        writer.append_metrics(row)
        shares = np.full((layers, 4), 0.25)
        for i, ratio in enumerate(ratios):
            norms = np.ones(layers)
            norms[0] = ratio * (1 + seed)
            writer.append_activations(
                10 * i,
                {f"hidden_{j + 1}": np.zeros((3, 2)) for j in range(layers)},
                percentiles=(15, 50, 85),
                gradient_norm=norms,
                saturated=np.arange(layers) / 10 + i / 100,
                input_histogram=shares,
                output_histogram=shares,
                input_range=np.tile([-1.0, 1.0], (layers, 1)),
                output_range=np.tile([0.0, 1.0], (layers, 1)),
            )


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variations")
    write(folder, "sigmoid", "after", [0.92, 0.92])
    write(folder, "sigmoid", "none", [0.91, 0.93], ratios=(0.1, 0.4))
    write(folder, "sigmoid", "before", [0.95, 0.97])
    write(folder, "relu", "none", [0.9], model__nonlinearity="relu")
    write(folder, "relu", "before", [0.91], model__nonlinearity="relu")
    write(folder, "deep", "none", [0.1], layers=8)
    write(folder, "deep", "before", [0.9], layers=8)
    write(folder, "lonely", "before", [0.9], model__nonlinearity="tanh")
    write(folder, "dropout", "none", [0.9], model__dropout=0.5)
    write(folder, "dropout", "before", [0.9], model__dropout=0.5)
    return variations.find_settings(records.find_runs(folder))


def test_settings_are_what_differs_besides_the_norm(settings):
    assert [(s.label, list(s.arms)) for s in settings] == [
        ("sigmoid, 3 hidden layers", ["none", "batch_norm", "batch_norm after"]),
        ("ReLU, 3 hidden layers", ["none", "batch_norm"]),
        ("sigmoid, 3 hidden layers, dropout 0.5", ["none", "batch_norm"]),
        ("sigmoid, 8 hidden layers", ["none", "batch_norm"]),
    ]
    runs = [run for s in settings[:1] for arm in s.arms.values() for run in arm.runs]
    assert variations.find_settings(runs) == []  # one setting is no variation
    assert variations.find_settings([]) == []


def test_a_number_in_a_title_has_few_digits():
    config = {"model": {"init_stddev": 0.1414213562373095}}
    label = variations._label("model.init_stddev", config)
    assert label == "model.init_stddev=0.1414"


def test_the_table_of_a_hand_computed_example(settings):
    table = variations.variations_table(settings, 0.92)
    rows = {
        tuple(row[:2]): dict(zip(table.columns, row, strict=True)) for row in table.rows
    }
    plain = rows["sigmoid, 3 hidden layers", "Without BN"]
    assert plain["Final accuracy"] == "92.00 ± 1.41 %"
    assert plain["Training less final, points"] == "+6.00"
    assert plain["Steps to 92 %"] == "250 (1 of 2 seeds)"
    assert plain["Against without BN"] == "-"
    assert plain["Saturated at the end"] == "11.0 %"  # 0, 0.1, 0.2 and 0.01
    # Geometric means over the seeds' ratios, 1 and 2 times 0.1 and 0.4.
    assert plain["Gradient, first / last layer: at first"] == f"{0.1 * 2**0.5:.2g}"
    assert plain["at the end"] == f"{0.4 * 2**0.5:.2g}"
    bn = rows["sigmoid, 3 hidden layers", "With BN"]
    assert bn["Against without BN"] == "+4.00 ± 0.00 points"  # for either seed
    after = rows["sigmoid, 3 hidden layers", "BN after the nonlinearity"]
    assert after["Against without BN"].startswith("tie, +0.00 ± 12.71")
    assert "chance" in rows["sigmoid, 8 hidden layers", "Without BN"]["Final accuracy"]


def test_a_panel_a_setting_and_a_curve_a_norm(settings):
    figure, caption = variations.draw_variations(settings)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title("left") for axes in shown] == [s.label for s in settings]
    assert [len(axes.lines) for axes in shown] == [3, 2, 2, 2]
    np.testing.assert_allclose(shown[0].lines[1].get_ydata(), [0.9, 0.04])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == ["BN after the nonlinearity", "With BN", "Without BN"]
    assert "0 or 0, 1" in caption


def test_two_norms_of_no_look_of_their_own_differ(tmp_path):
    for name in ("tanh", "relu"):
        for norm in ("center", "layer_norm", "none"):
            write(tmp_path, name, norm, [0.9], model__nonlinearity=name)
    found = variations.find_settings(records.find_runs(tmp_path))
    figure, _ = variations.draw_variations(found)
    for axes in figure.axes:
        assert (
            len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 3
        )
    colors = [{n.get_label(): n.get_color() for n in a.lines} for a in figure.axes]
    assert colors[0] == colors[1]


def test_what_diverged_is_named_where_it_has_no_curve(settings):
    relu = next(s for s in settings if s.label.startswith("ReLU"))
    plain = relu.arms["none"]
    gone = [
        dataclasses.replace(run, status={"status": "diverged", "step": 3}, metrics=[])
        for run in plain.runs
    ]
    arms = relu.arms | {"none": dataclasses.replace(plain, runs=gone)}
    figure, _ = variations.draw_variations([relu._replace(arms=arms), *settings[2:]])
    assert [len(axes.lines) for axes in figure.axes[:2]] == [1, 2]
    written = [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]]
    assert written == [["Without BN: diverged"], []]


def test_the_deepest_setting_is_looked_into(settings):
    names = [run.name for run in variations.deepest(settings)]
    assert names == ["deep_none_seed0", "deep_before_seed0"]


def test_runs_without_activations_have_no_signals(tmp_path):
    for name in ("tanh", "relu"):
        for norm in ("none", "before"):
            write(tmp_path, name, norm, [0.9], ratios=(), model__nonlinearity=name)
    found = variations.find_settings(records.find_runs(tmp_path))
    assert [row[-3:] for row in variations.variations_table(found, 0.9).rows] == [
        ["-"] * 3
    ] * 4
