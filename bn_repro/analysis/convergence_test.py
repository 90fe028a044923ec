import math

import numpy as np
import pytest

from bn_repro.analysis import convergence, testing
from bn_repro.errors import UserError
from bn_repro.run_folder import records


def courses(folder):
    """Returns key -> course of the runs below a folder."""
    found, _ = convergence.courses(records.find_runs(folder))
    return {course.key: course for course in found}


def error(p, n=5000):
    return math.sqrt(p * (1 - p) / n)


def test_best_and_first_step_at_a_target(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [0.01, 0.1, 0.3, 0.2])
    course = courses(tmp_path)["bn_x5"]
    assert (course.best, course.count, course.classes) == (0.3, 5000, 100)
    assert [course.reached(p) for p in (0.1, 0.11, 0.3, 0.31)] == [1, 2, 2, None]
    np.testing.assert_array_equal(course.steps, [0, 250, 500, 750])
    np.testing.assert_array_equal(course.images, 32 * course.steps)


def test_a_run_without_evaluations_reaches_nothing(tmp_path):
    testing.write_course(tmp_path / "bn_x5", [], "running")
    course = courses(tmp_path)["bn_x5"]
    assert math.isnan(course.best) and course.reached(0.1) is None
    assert not course.at_chance() and not course.ended


def test_chance_is_within_three_binomial_errors_of_guessing(tmp_path):
    edge = 0.01 + 3 * error(0.01)
    testing.write_course(tmp_path / "below", [0.01, edge - 1e-9])
    testing.write_course(tmp_path / "above", [0.01, edge + 1e-6])
    found = courses(tmp_path)
    assert found["below"].at_chance() and not found["above"].at_chance()


def test_under_two_errors_of_the_difference_is_a_tie():
    apart = 2 * math.hypot(error(0.3), error(0.32))
    assert convergence.compare(0.32, 0.32 - 0.99 * apart, 5000, 5000) == 0
    assert convergence.compare(0.32, 0.32 - 1.02 * apart, 5000, 5000) == 1
    assert convergence.compare(0.32 - 1.02 * apart, 0.32, 5000, 5000) == -1
    assert convergence.compare(0.0, 0.0, 5000, 5000) == 0
    assert convergence.compare(math.nan, 0.5, 5000, 5000) == 0


def test_the_target_is_inceptions_best_unless_told(tmp_path):
    testing.write_course(tmp_path / "inception", [0.1, 0.2], model__norm="none")
    for name, best in (("plain_a", 0.2), ("plain_b", 0.3), ("plain_c", 0.1)):
        testing.write_course(tmp_path / name, [0.1, best], model__norm="none")
    testing.write_course(tmp_path / "bn_x5", [0.1, 0.4])
    found = list(courses(tmp_path).values())
    assert convergence.find_target(found).text() == "20.00 %, the best of Inception"
    assert convergence.find_target(found, "bn_x5").accuracy == 0.4
    assert convergence.find_target(found, 0.25) == (0.25, None)
    assert convergence.find_target(found[1:]).accuracy == 0.3  # the best without BN
    with_bn = [course for course in found if course.key == "bn_x5"]
    assert convergence.find_target(with_bn).accuracy == 0.4
    with pytest.raises(UserError, match="no run 'bn_x6' .*; runs: inception, bn_x5"):
        convergence.find_target(found, "bn_x6")
    with pytest.raises(UserError, match="target is 72.2; it must be a fraction"):
        convergence.find_target(found, 72.2)


def test_runs_of_another_scale_are_left_out_and_the_order_is_the_papers(tmp_path):
    for name in ("bn_x30", "another", "bn_baseline", "inception"):
        testing.write_course(tmp_path / name, [0.1])
    testing.write_course(tmp_path / "wide", [0.9], model__width=1.0)
    found, left_out = convergence.courses(records.find_runs(tmp_path))
    labels = [course.label for course in found]
    assert labels == ["Inception", "BN-Baseline", "BN-x30", "another"]
    assert [run.name for run in left_out] == ["wide"]


@pytest.mark.parametrize(
    ("accuracies", "times", "answer"),
    [
        ([0.01, 0.1, 0.30, 0.4], 2, 1),  # higher at 500 of 1,000 steps
        ([0.01, 0.1, 0.21, 0.4], 2, 0),  # there, but a tie
        ([0.01, 0.1, 0.15, 0.4], 2, 0),  # higher at 750: somewhere in between
        ([0.01, 0.1, 0.15, 0.15], 2, -1),  # too low after the half as well
        ([0.01, 0.30, 0.4, 0.4], 14, 0),  # no evaluation so early
        ([0.01, 0.15, 0.4, 0.4], 14, -1),
        ([0.01, 0.1], 2, 0),  # broke off before the half
        ([], 2, 0),
    ],
)
def test_a_claim_of_so_many_times_fewer_steps(tmp_path, accuracies, times, answer):
    testing.write_course(
        tmp_path / "inception", [0.01, 0.02, 0.05, 0.1, 0.2], model__norm="none"
    )
    testing.write_course(tmp_path / "bn_x5", accuracies)
    found = courses(tmp_path)
    target = convergence.find_target(list(found.values()))
    assert convergence.at_least_times_faster(found["bn_x5"], target, times) == answer
