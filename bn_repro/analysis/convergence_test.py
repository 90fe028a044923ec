import math

import numpy as np
import pytest

from bn_repro.analysis import convergence, testing
from bn_repro.errors import UserError
from bn_repro.run_folder import records


def courses(folder):
    """Returns key -> course of the runs below a folder."""
    found = map(convergence.course, records.find_runs(folder))
    return {course.key: course for course in found}


def test_best_end_and_first_step_at_a_target(tmp_path):
    values = [0.01, 0.1, 0.3, 0.2, 0.25, 0.22, 0.21]
    testing.write_course(tmp_path / "bn_x5_seed3", values)
    course = courses(tmp_path)["bn_x5"]
    assert (course.best, course.count, course.classes) == (0.3, 5000, 100)
    assert course.end == pytest.approx(np.mean([0.3, 0.2, 0.25, 0.22, 0.21]))
    assert course.label == "BN-x5"
    assert [course.reached(p) for p in (0.1, 0.11, 0.3, 0.31)] == [1, 2, 2, None]
    np.testing.assert_array_equal(course.steps, np.arange(7) * 250)
    np.testing.assert_array_equal(course.images, 32 * course.steps)


def test_the_end_leaves_out_what_is_not_finite(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [0.1, 0.3, math.nan], "diverged")
    assert courses(tmp_path)["bn_x5"].end == pytest.approx(0.2)


def test_a_course_has_the_statistics_asked_for(tmp_path):
    kinds = ("ema", "population")
    testing.write_course(tmp_path / "bn_x5", [0.1, 0.3], statistics=kinds)
    run = records.read_run(tmp_path / "bn_x5")
    shown = [convergence.course(run, kind).accuracy[-1] for kind in kinds]
    assert shown == pytest.approx([0.3, 0.31])
    assert convergence.course(run, "batch").accuracy.size == 0


def test_a_run_without_evaluations_reaches_nothing(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [], "running")
    course = courses(tmp_path)["bn_x5"]
    assert math.isnan(course.best) and course.reached(0.1) is None
    assert math.isnan(course.end) and not course.at_chance() and not course.ended


def test_chance_is_within_three_binomial_errors_of_guessing(tmp_path):
    edge = 0.01 + 3 * math.sqrt(0.01 * 0.99 / 5000)
    testing.write_course(tmp_path / "below", [0.01, edge - 1e-9])
    testing.write_course(tmp_path / "above", [0.01, edge + 1e-6])
    found = courses(tmp_path)
    assert found["below"].at_chance() and not found["above"].at_chance()


def test_the_target_of_single_runs_is_inceptions_best_unless_told(tmp_path):
    testing.write_course(tmp_path / "inception", [0.1, 0.2], model__norm="none")
    for name, best in (("plain_a", 0.2), ("plain_b", 0.3), ("plain_c", 0.1)):
        testing.write_course(tmp_path / name, [0.1, best], model__norm="none")
    testing.write_course(tmp_path / "bn_x5", [0.1, 0.4])
    found = courses(tmp_path)
    found = [found.pop("inception"), *found.values()]
    assert convergence.find_target(found).text() == "20.00 %, the best of Inception"
    for name in ("bn_x5", "BN-x5"):
        assert convergence.find_target(found, name).accuracy == 0.4
    assert convergence.find_target(found, 0.25) == (0.25, None)
    assert convergence.find_target(found[1:]).accuracy == 0.3  # the best without BN
    with_bn = [course for course in found if course.key == "bn_x5"]
    assert convergence.find_target(with_bn).accuracy == 0.4
    with pytest.raises(UserError, match="no run 'bn_x6' .*; runs: inception, bn_x5"):
        convergence.find_target(found, "bn_x6")
    with pytest.raises(UserError, match="target is 72.2; it must be a fraction"):
        convergence.find_target(found, 72.2)
