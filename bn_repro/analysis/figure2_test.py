import numpy as np

from bn_repro.analysis import convergence, figure2, testing
from bn_repro.run_folder import records


def draw(folder):
    found, _ = convergence.courses(records.find_runs(folder))
    figure, caption = figure2.draw_figure2(found, convergence.find_target(found))
    (axes,) = figure.axes
    return axes, caption


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_curve_a_network_and_a_diamond_where_it_first_reaches_the_target(tmp_path):
    testing.write_course(
        tmp_path / "inception", [0.01, 0.1, 0.2, 0.15], model__norm="none"
    )
    testing.write_course(tmp_path / "bn_x5", [0.01, 0.3, 0.35, 0.4])
    axes, caption = draw(tmp_path)
    assert legend(axes) == ["Inception", "BN-x5", "chance", "steps to match Inception"]
    by_label = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(by_label["BN-x5"].get_xdata(), [0, 250, 500, 750])
    np.testing.assert_array_equal(by_label["BN-x5"].get_ydata(), [0.01, 0.3, 0.35, 0.4])
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds[:2]]
    assert places == [(500, 0.2), (250, 0.3)]
    assert axes.get_xlim() == (0, 3000)
    assert 0.4 < axes.get_ylim()[1] < 0.5
    assert "on 5,000 validation pictures" in caption
    assert "Diamond: first evaluation at 20.00 %, the best of Inception" in caption
    assert "Scale: 64 x 64 pixels" in caption
    assert "chance itself" not in caption


def test_failures_and_unfinished_runs_say_so(tmp_path):
    testing.write_course(
        tmp_path / "inception", [0.01, 0.01], "running", model__norm="none"
    )
    testing.write_course(tmp_path / "inception_x5", [0.01, 0.01], "diverged")
    testing.write_course(tmp_path / "bn_x5", [], "interrupted")
    axes, caption = draw(tmp_path)
    assert "Inception\n(running, step 250)" in legend(axes)
    assert "Inception-x5\n(diverged at step 257)" in legend(axes)
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [250]
    assert "The target is chance itself" in caption
    assert "Cross: the last evaluation before the run diverged." in caption


def test_runs_that_only_just_started_are_drawn(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [], "running")
    axes, caption = draw(tmp_path)
    assert axes.get_ylim() == (0, 1)
    assert "on no validation pictures" in caption and "Diamond" not in caption
