import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bn_repro.analysis import arms, figure1, style, testing
from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError
from bn_repro.run_folder import records


def panels(selected):
    figure, caption = figure1.draw_figure1(selected)
    return figure.axes, caption


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_layout_is_the_papers(sample_figure1):
    (accuracy, without, with_bn), caption = panels(sample_figure1)
    assert accuracy.get_ylim() == (0.7, 1.0)
    for axes in (accuracy, without, with_bn):
        assert axes.get_xlim() == (0, 50_000)
        ticks = [axes.xaxis.get_major_formatter()(x, 0) for x in (0, 10_000, 50_000)]
        assert ticks == ["0", "10K", "50K"]
        assert axes.get_xlabel() == "training steps"
    legend = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert legend == ["With BN", "Without BN"]
    assert without.get_title("left") == "(b) Without BN, rate 0.01"
    assert with_bn.get_title("left") == "(c) With BN, rate 0.01"
    assert accuracy.get_title("left") == "(a) Test accuracy, n = 2 seeds"
    assert texts(without) == texts(with_bn) == ["15th", "50th", "85th"]
    assert "(bn: seeds 0, 1, plain: seeds 0, 1)" in caption


def test_the_curves_are_the_mean_test_accuracies(sample_figure1):
    (accuracy, *_), _ = panels(sample_figure1)
    shown = sample_figure1.bn, sample_figure1.plain
    for line, arm in zip(accuracy.lines, shown, strict=True):
        values = [run.series("test", "ema", "accuracy")[1] for run in arm.runs]
        np.testing.assert_allclose(line.get_ydata(), np.mean(values, axis=0))


def test_the_bands_are_the_typical_unit_of_the_last_hidden_layer(sample_figure1):
    (_, without, _), caption = panels(sample_figure1)
    runs = sample_figure1.plain.runs
    run = drift.typical_run(runs)
    unit = drift.typical_unit(run.activations, "hidden_3")
    drawn = np.stack([line.get_ydata() for line in without.lines], axis=1)
    np.testing.assert_array_equal(drawn, run.activations["hidden_3"][:, :, unit])
    assert f"b: unit {unit} of hidden_3, {run.name}" in caption


def test_the_legend_has_the_rates_where_they_differ(tmp_path):
    rate = {"optimizer": {"learning_rate": 3.0, "momentum": 0.0}}
    testing.write_run(tmp_path / "plain", "none", 0, 500, **rate)
    testing.write_run(tmp_path / "bn", "before", 0, 500)
    (accuracy, *_), _ = panels(arms.of_figure1(records.find_runs(tmp_path)))
    legend = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert legend == ["With BN, rate 0.01", "Without BN, rate 3"]


def test_the_panels_show_the_median_seed(tmp_path):
    for seed in range(5):
        testing.write_run(tmp_path / f"bn_seed{seed}", seed=seed, steps=3000)
    runs = records.find_runs(tmp_path)
    drifts = [
        drift.quartiles(drift.unit_drifts(run.activations, "hidden_3")[0]).median
        for run in runs
    ]
    assert drift.typical_run(runs) is runs[np.argsort(drifts)[2]]


def test_one_seed_and_unfinished_runs_are_told(tmp_path):
    testing.write_run(tmp_path / "bn_seed0", steps=1000)
    testing.write_run(tmp_path / "bn_seed1", seed=1, steps=1000, status="interrupted")
    testing.write_run(tmp_path / "plain", "none", 0, 1000, "running", 500)
    (accuracy, *_), caption = panels(arms.of_figure1(records.find_runs(tmp_path)))
    assert accuracy.get_title("left") == "(a) Test accuracy, one seed"
    assert "One seed (bn: seeds 0, plain: seeds 0)" in caption
    assert "No run plain has finished." in caption


def with_inputs(selected, shift):
    """Returns the selection with every input of the plain network moved by shift."""
    run = selected.plain.runs[0]
    moved = {
        name: values + shift if name in run.activations["layers"] else values
        for name, values in run.activations.items()
    }
    shifted = dataclasses.replace(run, activations=moved)
    return selected._replace(plain=arms.Arm("plain", [shifted]))


@pytest.mark.parametrize(
    ("shift", "limits"), [(0, (-2, 2)), (9, (-2, 10)), (-4, (-5, 2))]
)
def test_inputs_outside_of_the_papers_axis_widen_both_panels(tmp_path, shift, limits):
    testing.write_figure1(tmp_path, seeds=1, steps=3000)
    selected = arms.of_figure1(records.find_runs(tmp_path))
    (_, without, with_bn), caption = panels(with_inputs(selected, shift))
    assert without.get_ylim() == with_bn.get_ylim() == limits
    for line in without.lines:
        assert (
            limits[0] <= line.get_ydata().min() <= line.get_ydata().max() <= limits[1]
        )
    assert ("The paper's axis is -2 to 2" in caption) == (shift != 0)


def test_a_short_run_gets_axes_that_show_it(tmp_path):
    testing.write_figure1(tmp_path, seeds=1, steps=1000)
    (accuracy, *_), caption = panels(arms.of_figure1(records.find_runs(tmp_path)))
    assert accuracy.get_xlim() == (0, 1000)
    assert accuracy.get_ylim() == (0, 1)
    assert "this one at 0" in caption


def test_a_missing_arm_or_probe_leaves_its_panel_empty(sample_figure1):
    (accuracy, without, _), _ = panels(sample_figure1._replace(plain=None))
    assert len(accuracy.lines) == 1
    assert texts(without) == ["no probes"]
    unprobed = dataclasses.replace(sample_figure1.bn.runs[0], activations=None)
    both = arms.Figure1(None, arms.Arm("bn", [unprobed]), [])
    (_, _, with_bn), caption = panels(both)
    assert texts(with_bn) == ["no probes"]
    assert "(b, c)" not in caption


def test_labels_of_close_percentiles_stay_apart():
    heights = figure1._label_heights(np.array([0.0, 0.01, 1.5]), (-2, 2))
    assert heights[50] - heights[15] > 0.2
    assert heights[85] == 1.5


def test_a_png_has_few_colours_and_looks_the_same(tmp_path, sample_figure1):
    figure, caption = figure1.draw_figure1(sample_figure1)
    figure.savefig(tmp_path / "all.png")
    saved = style.save((figure, caption), tmp_path / "few", "Figure 1", "").png
    with Image.open(tmp_path / "all.png") as every, Image.open(saved) as few:
        assert few.mode == "P" and few.info["dpi"] == every.info["dpi"]
        pixels = [np.asarray(im.convert("RGB"), float) for im in (every, few)]
    assert np.abs(pixels[0] - pixels[1]).mean() < 0.1
    assert np.abs(pixels[0] - pixels[1]).max() < 40
    assert saved.stat().st_size < 0.5 * (tmp_path / "all.png").stat().st_size


def test_a_heat_map_keeps_its_colours(tmp_path):
    figure = Figure(figsize=(3, 3))
    for axes, colors in zip(figure.subplots(1, 2), ("viridis", "RdBu"), strict=True):
        axes.imshow(np.arange(1600).reshape(40, 40), cmap=colors)
    figure.savefig(tmp_path / "all.png")
    saved = style.save((figure, ""), tmp_path / "saved", "Heat map", "").png
    with Image.open(tmp_path / "all.png") as every, Image.open(saved) as kept:
        assert kept.mode == "RGB"
        np.testing.assert_array_equal(every.convert("RGB"), kept)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, sample_figure1):
    with pytest.raises(UserError, match="cannot write .*nowhere/figure1.png"):
        style.save(
            figure1.draw_figure1(sample_figure1), tmp_path / "nowhere/figure1", "", ""
        )
