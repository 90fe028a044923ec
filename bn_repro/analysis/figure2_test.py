import numpy as np
import pytest

from bn_repro.analysis import figure2, networks, steps_to_target, testing
from bn_repro.run_folder import records

PLAIN = {"model__norm": "none"}


def draw(folder):
    found, _ = networks.find(records.find_runs(folder))
    figure, caption = figure2.draw_figure2(found, networks.find_goal(found))
    return figure.axes, caption


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def diamonds(axes):
    marks = [line for line in axes.lines if line.get_marker() == "D"]
    return [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks[:-1]]


def test_one_seed_has_no_band_and_a_diamond_where_the_smoothed_curve_crosses(tmp_path):
    rising = [0.01, 0.1, 0.2, 0.15, 0.2, 0.25, 0.2]
    testing.write_course(tmp_path / "inception", rising, **PLAIN)
    testing.write_course(tmp_path / "bn_x5", [0.01, 0.3, 0.35, 0.4])
    (axes,), caption = draw(tmp_path)
    assert legend(axes) == ["Inception", "BN-x5", "chance", "steps to match Inception"]
    by_label = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(by_label["BN-x5"].get_xdata(), [0, 250, 500, 750])
    np.testing.assert_array_equal(by_label["BN-x5"].get_ydata(), [0.01, 0.3, 0.35, 0.4])
    # Inception's plateau is 0.2; smoothed it is 0.175 twice, 0.2, 0.225 twice.
    own, other = diamonds(axes)
    assert own == pytest.approx((1000, 0.2))
    assert other == pytest.approx((250 * 0.19 / 0.29, 0.2))
    assert axes.get_xlim() == (0, 3000)
    assert 0.4 < axes.get_ylim()[1] < 0.5
    assert "on 5,000 validation pictures" in caption
    assert "One seed a network." in caption and "BN uses moving averages." in caption
    assert "reaches 20.00 %, the plateau of Inception" in caption
    assert "Scale: 64 x 64 pixels" in caption and "3,000 steps of 32" in caption
    assert "chance itself" not in caption


def crosses(axes):
    lines = [line for line in axes.lines if line.get_marker() == "x"]
    return [line.get_xdata()[0] for line in lines]


def test_seeds_are_a_mean_and_a_band_and_the_soon_ones_get_a_panel(tmp_path):
    testing.write_networks(tmp_path, ["inception", "bn_x5"])
    (whole, beginning), caption = draw(tmp_path)
    assert (whole.get_xlim()[1], beginning.get_xlim()[1]) == (80_000, 16_000)
    assert legend(beginning)[:2] == ["Inception", "BN-x5"]
    found, _ = networks.find(records.find_runs(tmp_path))
    goal = networks.find_goal(found)
    by_label = {line.get_label(): line for line in whole.lines}
    for network in found:
        values = np.mean([course.accuracy for course in network.courses], axis=0)
        line = by_label[network.label]
        np.testing.assert_allclose(line.get_ydata(), values)
        steps = network.courses[0].steps
        at = steps_to_target.first_reached(steps, values, goal.accuracy)
        assert (at, goal.accuracy) in diamonds(whole)
        assert ((at, goal.accuracy) in diamonds(beginning)) == (at < 16_000)
    band = whole.collections[0].get_paths()[0].vertices
    lowest = min(course.accuracy.min() for course in found[0].courses)
    assert band[:, 1].min() == pytest.approx(lowest)
    assert "mean over the seeds (Inception 3, BN-x5 5); band: from the" in caption
    assert "BN uses Algorithm 2's statistics." in caption and "sooner" not in caption
    assert "16,000 to 80,000 steps of 32" in caption and "One seed" not in caption
    testing.write_course(tmp_path / "other", [0.01] * 101, "diverged", steps=80_000)
    (whole, beginning), _ = draw(tmp_path)
    assert [crosses(whole), crosses(beginning)] == [[25_000], []]


def test_a_line_over_seeds_of_unequal_length_is_explained(tmp_path):
    testing.write_networks(tmp_path, ["inception_sigmoid"])
    _, caption = draw(tmp_path)
    assert "highest. Where a seed ends sooner, the line goes on" in caption
    assert "  " not in caption


def test_failures_and_unfinished_runs_say_so(tmp_path):
    chance = [0.01, 0.01]
    testing.write_course(tmp_path / "inception", chance, "running", **PLAIN)
    testing.write_course(tmp_path / "inception_x5", chance, "diverged")
    testing.write_course(tmp_path / "bn_x5", [], "interrupted")
    for seed, status in enumerate(("diverged", "finished", "running")):
        path = tmp_path / f"bn_x30_seed{seed}"
        testing.write_course(path, [0.01, 0.02], status, seed=seed)
    (axes,), caption = draw(tmp_path)
    assert "Inception\n(running, step 250)" in legend(axes)
    assert "Inception-x5\n(diverged at step 257)" in legend(axes)
    assert "BN-x30\n(1 of 3 seeds diverged; 1 of 3 seeds unfinished)" in legend(axes)
    assert crosses(axes) == [250, 250]
    assert "The target is chance itself" in caption
    assert "One seed a network." in caption  # of BN-x30 the finished one alone is drawn
    assert "Cross: the last evaluation before a run diverged." in caption


def test_a_first_seed_without_evaluation_hides_no_curve(tmp_path):
    testing.write_course(tmp_path / "inception_seed0", [], "failed", **PLAIN)
    testing.write_course(tmp_path / "inception_seed1", [0.01, 0.2], seed=1, **PLAIN)
    (axes,), _ = draw(tmp_path)
    (line,) = (one for one in axes.lines if one.get_label().startswith("Inception"))
    np.testing.assert_array_equal(line.get_ydata(), [0.01, 0.2])


def test_pictures_are_called_by_their_splits(tmp_path):
    testing.write_course(tmp_path / "inception", [0.01, 0.2], split="held_out", **PLAIN)
    (axes,), caption = draw(tmp_path)
    assert axes.get_ylabel() == "fraction of held_out pictures correct"
    assert "on 5,000 held_out pictures" in caption
    testing.write_course(tmp_path / "bn_x5", [0.01, 0.2])
    assert "on 5,000 held_out and validation pictures" in draw(tmp_path)[1]


def test_a_target_that_no_curve_comes_near_is_beyond_the_axis(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [0.01, 0.2])
    found, _ = networks.find(records.find_runs(tmp_path))
    for target, words in ((0.722, "72.20 %; beyond the axis."), (0.1, "; horizontal ")):
        goal = networks.find_goal(found, target)
        assert words in figure2.draw_figure2(found, goal)[1]


def test_runs_that_only_just_started_are_drawn(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [], "running")
    (axes,), caption = draw(tmp_path)
    assert axes.get_ylim() == (0, 1)
    assert "on no validation pictures" in caption and "Diamond" not in caption
