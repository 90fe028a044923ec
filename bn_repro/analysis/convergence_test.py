import math
import types

import numpy as np
import pytest

from bn_repro.analysis import convergence, testing
from bn_repro.run_folder import records


def courses(folder):
    """Returns key -> course of the runs below a folder."""
    found = map(convergence.course, records.find_runs(folder))
    return {convergence.network_key(course.run): course for course in found}


def test_best_end_and_first_step_at_a_target(tmp_path):
    values = [0.01, 0.1, 0.3, 0.2, 0.25, 0.22, 0.21]
    testing.write_course(tmp_path / "bn_x5_seed3", values)
    course = courses(tmp_path)["bn_x5"]
    assert (course.best, course.count, course.classes) == (0.3, 5000, 100)
    assert course.end == pytest.approx(np.mean([0.3, 0.2, 0.25, 0.22, 0.21]))
    assert [course.steps_to(p) for p in (0.1, 0.11, 0.3, 0.31)] == [
        250,
        500,
        500,
        math.inf,
    ]
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
    assert math.isnan(course.best) and course.steps_to(0.1) == math.inf
    assert (
        math.isnan(course.end)
        and not course.is_chance(course.best)
        and not course.ended
    )


def test_chance_is_within_three_binomial_errors_of_guessing(tmp_path):
    edge = 0.01 + 3 * math.sqrt(0.01 * 0.99 / 5000)
    testing.write_course(tmp_path / "below", [0.01, edge - 1e-9])
    testing.write_course(tmp_path / "above", [0.01, edge + 1e-6])
    found = courses(tmp_path)
    below, above = found["below"], found["above"]
    assert below.is_chance(below.best) and not above.is_chance(above.best)


def test_on_mnist_the_same_answer_to_all_is_chance(tmp_path):
    mnist = {"data__name": "mnist", "data__classes": 10}
    testing.write_course(tmp_path / "ones", 5 * [0.1135], **mnist)
    testing.write_course(tmp_path / "more", [0.1, 0.13], **mnist)
    found = courses(tmp_path)
    assert found["ones"].is_chance(found["ones"].end)
    assert not found["more"].is_chance(0.13)


def test_a_pair_has_seed_and_order_of_the_data_in_common():
    def run(seed, order):
        return types.SimpleNamespace(config={"seed": seed, "data": {"seed": order}})

    assert convergence.by_seed([run(3, -1), run(3, 7)], [1, 2]) == {
        (3, 3): 1,
        (3, 7): 2,
    }


def test_higher_at_counts_seed_by_seed_after_step_0(tmp_path):
    testing.write_seeds(tmp_path, "before", 0.1, [0.9, 0.8, 0.7])
    testing.write_seeds(tmp_path, "none", 0.1, [0.9, 0.7])
    runs = {"batch_norm": [], "none": []}
    for run in records.find_runs(tmp_path):
        runs[run.config["model"]["norm"]].append(run)
    # Seed 0: equal; seed 1: higher at three evaluations; seed 2 has no partner.
    assert convergence.higher_at(runs["batch_norm"], runs["none"]) == (3, 6)
