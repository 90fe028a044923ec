import numpy as np

from bn_repro.analysis import style, testing
from bn_repro.analysis.sweep import comparison, comparison_figure
from bn_repro.run_folder import records


def marks(axes, marker):
    """Returns the x of all marks of a kind that are no part of a curve."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    edge = [line for line in lines if line.get_linestyle() == "None"]
    return [x for line in edge for x in line.get_xdata()]


def key(figure):
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_means_and_ranges_against_the_value(sample_sweep):
    figure, caption = comparison_figure.draw_sweep(sample_sweep, 0.9)
    final, steps = figure.axes
    assert final.get_xscale() == final.get_yscale() == steps.get_yscale() == "log"
    plain, bn = (container.lines[0] for container in final.containers)
    np.testing.assert_array_equal(plain.get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_allclose(plain.get_ydata(), [0.495, 0.075, 0.065])
    np.testing.assert_allclose(bn.get_ydata(), [0.095, 0.065, 0.035, 0.045])
    bars = final.containers[1].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars][0], [0.09, 0.10])
    spread = "mean and range of 2 seeds"
    assert final.get_title("left") == f"(a) Final error, {spread}"
    assert steps.get_title("left") == f"(b) Steps to 90 %, {spread}"
    np.testing.assert_allclose(steps.containers[0].lines[0].get_ydata(), [500, 500])
    assert "Mean over up to 2 seeds" in caption


def test_arms_stand_beside_each_other_by_the_same_on_a_linear_axis(tmp_path):
    for rate in (0.0, 0.1, 0.5):
        for norm in ("none", "before"):
            overrides = {"model__norm": norm, "model__dropout": rate}
            path = tmp_path / f"{norm}_{rate}"
            testing.write_course(path, [0.1, 0.5], **overrides)
    sweep = comparison.find_sweep(records.find_runs(tmp_path))
    figure, _ = comparison_figure.draw_sweep(sweep, 0.4)
    one, other = (c.lines[0].get_xdata() for c in figure.axes[0].containers)
    np.testing.assert_allclose(one, [0, 0.1, 0.5])
    np.testing.assert_allclose(other - one, 0.005)


def test_arms_that_differ_besides_are_named_in_words_and_counted(tmp_path):
    for rate in (0.0, 0.1, 0.5):
        for norm in ("none", "before"):
            for limit in (0, 2000):
                path = tmp_path / f"{norm}_{rate}_{limit}"
                overrides = {"model__norm": norm, "model__dropout": rate}
                overrides["data__limit"] = limit
                testing.write_course(path, [0.1, 0.5], **overrides)
                if limit:
                    metrics = path / "metrics.jsonl"
                    text = metrics.read_text().replace('"count": 5000', '"count": 2000')
                    metrics.write_text(text)
    sweep = comparison.find_sweep(records.find_runs(tmp_path))
    assert [arm.label for arm in sweep.arms] == [
        "all examples, Without BN",
        "limit=2000, Without BN",
        "all examples, With BN",
        "limit=2000, With BN",
    ]
    figure, caption = comparison_figure.draw_sweep(sweep, 0.4)
    assert "(a) on 2,000 or 5,000 held-out pictures" in caption
    assert figure.axes[0].get_xlabel() == "share dropped"


def test_diverged_chance_and_not_reached_are_marked(sample_sweep, tmp_path):
    figure, _ = comparison_figure.draw_sweep(sample_sweep, 0.9)
    final, steps = figure.axes
    assert marks(final, "x") == [10.0]
    assert key(figure) == {
        "Without BN",
        "With BN",
        "chance",
        "(a) a seed diverged",
        "(b) a seed did not reach it",
    }
    assert marks(steps, "^") == [0.01, 10.0]
    for rate, value in ((0.1, 0.5), (0.2, 0.1), (0.3, 0.5)):
        testing.write_seeds(tmp_path / "chance", "none", rate, [value])
    testing.write_seeds(tmp_path / "chance", "none", 0.4, [0.5], "running")
    chance = comparison.find_sweep(records.find_runs(tmp_path / "chance"))
    figure, caption = comparison_figure.draw_sweep(chance, 0.9)
    final, *_ = figure.axes
    assert marks(final, "s") == [0.2]
    assert final.get_xscale() == "linear"  # a narrow range
    assert final.get_yscale() == "linear"  # far from all right
    assert final.get_title("left") == "(a) Final accuracy, one seed"
    assert "open: no better than chance" in key(figure)
    assert not any("diverged" in text for text in key(figure))
    assert "One seed; the binomial standard error is at most 0.71 points" in caption


def test_arms_of_other_lengths_are_both_told_and_inside_the_axis(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        testing.write_seeds(tmp_path, "none", rate, [0.95])
        longer = {"at": [0, 9_000, 20_000, 30_000], "steps": 30_000}
        path = tmp_path / f"bn_{rate:g}"
        values = {"data__name": "mnist", "data__classes": 10, "model__name": "mlp"}
        values["optimizer__learning_rate"] = rate
        testing.write_course(path, [0.1, 0.5, 0.8, 0.95], **longer, **values)
    found = comparison.find_sweep(records.find_runs(tmp_path))
    figure, caption = comparison_figure.draw_sweep(found, 0.9)
    assert "after 3,000 or 30,000 steps." in caption
    assert figure.axes[1].get_ylim()[1] > 30_000


def test_a_sweep_without_a_finished_run_is_drawn(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        testing.write_seeds(
            tmp_path, "before", rate, [0.5], "running", data__name="imagenet"
        )
    found = comparison.find_sweep(records.find_runs(tmp_path))
    target = comparison.find_target(found)
    figure = comparison_figure.draw_sweep(found, target)
    drawn = style.save(figure, tmp_path / "sweep", "Sweep", "")
    assert np.isnan(target) and drawn.png.stat().st_size > 0
    assert figure[0].axes[1].get_title("left").startswith("(b) Steps to the target, ")
    assert not any("did not reach" in text for text in key(figure[0]))
