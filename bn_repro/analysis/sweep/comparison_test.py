import itertools
import math

import numpy as np
import pytest

from bn_repro.analysis import convergence, networks, testing
from bn_repro.analysis.sweep import comparison
from bn_repro.errors import UserError
from bn_repro.run_folder import records


def test_the_swept_key_is_the_one_with_the_values(sample_sweep):
    assert sample_sweep.key == "optimizer.learning_rate"
    assert sample_sweep.name == "learning rate"
    assert [arm.label for arm in sample_sweep.arms] == ["Without BN", "With BN"]
    for arm in sample_sweep.arms:
        assert [point.value for point in arm.points] == [0.01, 0.1, 1.0, 10.0]
        assert [len(point.courses) for point in arm.points] == [2] * 4
    assert sample_sweep.left_out == []
    assert [run.name[:9] for run in sample_sweep.runs()][:3] == [
        "plain_lr0",
        "plain_lr0",
        "plain_lr0",
    ]
    assert len(sample_sweep.runs()) == 16


def test_any_number_can_be_swept_and_other_runs_are_left_out(tmp_path):
    for scale in (0.001, 0.1, 1.0):
        testing.write_seeds(
            tmp_path / f"{scale}", "before", 0.1, [0.9], model__init_stddev=scale
        )
    testing.write_seeds(tmp_path, "none", 0.5, [0.9], model__nonlinearity="tanh")
    sweep = comparison.find_sweep(records.find_runs(tmp_path))
    assert sweep.key == "model.init_stddev"
    assert [point.value for point in sweep.arms[0].points] == [0.001, 0.1, 1.0]
    assert [run.config["model"]["norm"] for run in sweep.left_out] == ["none"]
    assert sweep.runs()[-1] is sweep.left_out[0]


def test_two_values_or_several_seeds_are_no_sweep(tmp_path):
    testing.write_seeds(tmp_path, "none", 0.1, [0.9, 0.9, 0.9])
    testing.write_seeds(tmp_path, "none", 0.2, [0.9, 0.9, 0.9])
    testing.write_seeds(tmp_path, "before", 0.3, [0.9])
    assert comparison.find_sweep(records.find_runs(tmp_path)) is None
    assert comparison.find_sweep([]) is None


def test_what_changes_no_result_is_no_sweep(tmp_path):
    for rate in (0.1, 1.0):
        for workers, seed in ((1, 0), (2, 1), (4, 2)):
            path = tmp_path / f"bn_lr{rate:g}_seed{seed}"
            values = {"optimizer__learning_rate": rate, "data__workers": workers}
            testing.write_course(path, [0.1, 0.9], seed=seed, **values)
    testing.write_course(tmp_path / "bn_lr10", [0.1], optimizer__learning_rate=10.0)
    found = comparison.find_sweep(records.find_runs(tmp_path))
    assert [len(point.courses) for point in found.points] == [3, 3, 1]


def test_orders_of_the_data_are_seeds_and_no_sweep(tmp_path):
    for order in (5, 6, 7):
        testing.write_course(tmp_path / f"a_{order}", [0.1, 0.9], data__seed=order)
    runs = records.find_runs(tmp_path)
    assert comparison.find_sweep(runs) is None
    assert [len(network.courses) for network in networks.together(runs)] == [3]
    for rate, order in itertools.product((0.1, 1.0, 10.0), (5, 6)):
        changed = {"optimizer__learning_rate": rate, "data__seed": order}
        testing.write_course(tmp_path / f"b_{rate}_{order}", [0.1, 0.9], **changed)
    sweep = comparison.find_sweep(records.find_runs(tmp_path))
    assert [len(point.courses) for point in sweep.points][1:] == [2, 2, 2]


def test_arms_that_differ_in_more_are_named_by_it(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        testing.write_seeds(tmp_path, "before", rate, [0.9])
        testing.write_seeds(
            tmp_path / "tanh", "before", rate, [0.9], model__nonlinearity="tanh"
        )
    sweep = comparison.find_sweep(records.find_runs(tmp_path))
    assert {arm.label for arm in sweep.arms} == {
        "nonlinearity=relu",
        "nonlinearity=tanh",
    }


def test_trainable_means_at_least_ninety_percent_on_every_seed(sample_sweep):
    plain, bn = sample_sweep.arms
    assert [point.trainable() for point in plain.points] == [False, True, True, False]
    assert [point.trainable() for point in bn.points] == [True, True, True, True]


def one_point(folder, *args, **overrides):
    testing.write_seeds(folder, "none", 0.1, *args, **overrides)
    courses = map(convergence.course, records.find_runs(folder))
    return comparison.Point(0.1, list(courses))


def test_trainable_edges(tmp_path):
    assert one_point(tmp_path / "a", [0.9, 0.95]).trainable() is True
    assert one_point(tmp_path / "b", [0.899, 0.95]).trainable() is False
    running = one_point(tmp_path / "c", [0.95, 0.95], "running")
    assert running.trainable() is None and running.final.size == 0
    testing.write_seeds(tmp_path / "b", "none", 0.1, [0.95], "running")
    assert one_point(tmp_path / "b", [0.899]).trainable() is False
    half = one_point(tmp_path / "d", [0.95])
    assert comparison.Point(0.1, half.courses + running.courses).trainable() is None


def test_a_finished_run_without_an_evaluation_counts_for_nothing(tmp_path):
    one_point(tmp_path, [0.95])
    (path,) = tmp_path.iterdir()
    (path / records.METRICS).unlink()
    point = comparison.Point(0.1, [convergence.course(records.read_run(path))])
    assert point.final.size == 0 and point.trainable() is None


def test_elsewhere_trainable_means_above_chance_at_the_end(tmp_path):
    imagenet = {"data__name": "imagenet", "data__classes": 100}
    edge = 0.01 + 3 * math.sqrt(0.01 * 0.99 / 5000)
    above = one_point(tmp_path / "a", [edge + 1e-5], **imagenet)
    below = one_point(tmp_path / "b", [edge - 1e-5], **imagenet)  # but once above it
    assert (above.trainable(), below.trainable()) == (True, False)
    assert below.is_chance(below.final) and not below.courses[0].is_chance(
        below.courses[0].best
    )
    assert not above.is_chance(above.final)


def test_best_tuned_has_the_highest_mean_of_whole_points(sample_sweep, tmp_path):
    plain, bn = sample_sweep.arms
    assert (plain.tuned().value, bn.tuned().value) == (1.0, 1.0)
    testing.write_seeds(
        tmp_path, "before", 10.0, [0.99, 0.99, 0.99], "running", data__limit=1
    )
    few = comparison.Point(10.0, bn.points[3].courses + plain.points[3].courses)
    assert comparison.SweptArm("", {}, [bn.points[0], few]).tuned().value == 0.01
    assert comparison.SweptArm("", {}, [plain.points[3]]).tuned() is None


def test_steps_are_of_the_first_evaluation_that_is_high_enough(sample_sweep):
    point = sample_sweep.arms[1].points[
        2
    ]  # finals 0.97, 0.96; before them +0.01, -0.05
    np.testing.assert_array_equal(point.steps_to(0.905), [250, 250])
    np.testing.assert_array_equal(point.steps_to(0.915), [250, 500])
    np.testing.assert_array_equal(point.steps_to(0.975), [500, np.inf])


def test_the_target_is_what_counts_as_trained_or_the_first_arms_best(
    sample_sweep, tmp_path
):
    assert comparison.find_target(sample_sweep) == 0.9
    assert comparison.find_target(sample_sweep, 0.5) == 0.5
    name = sample_sweep.runs()[0].name
    plateau = np.mean([0.1, 0.45, 0.51, 0.5, 0.1, 0.46, 0.52, 0.51])  # both seeds'
    assert comparison.find_target(sample_sweep, name) == pytest.approx(plateau)
    with pytest.raises(UserError, match="no run 'none'"):
        comparison.find_target(sample_sweep, "none")
    for rate, final in ((0.1, 0.2), (1.0, 0.3), (10.0, 0.01)):
        for norm in ("before", "none"):
            final += 0.1 * (norm == "before")
            path = tmp_path / "imagenet"
            testing.write_seeds(path, norm, rate, [final], data__name="imagenet")
    imagenet = comparison.find_sweep(records.find_runs(tmp_path / "imagenet"))
    assert comparison.find_target(imagenet) == pytest.approx(0.4)


def test_the_difference_is_paired_by_seed_or_of_one_seed(sample_sweep):
    plain, bn = (arm.tuned() for arm in sample_sweep.arms)
    # Seed 0: 0.97 - 0.93; seed 1: 0.96 - 0.94; t(1, 0.975) = 12.706.
    found = comparison.difference(bn, plain)
    assert found.rule == "paired" and found.mean == pytest.approx(0.03)
    assert found.error == pytest.approx(12.706 * 0.01, rel=1e-4) and found.is_tie
    one = comparison.Point(1.0, plain.courses[:1])
    found = comparison.difference(bn, one)
    binomial = math.hypot(*(math.sqrt(p * (1 - p) / 5000) for p in (0.965, 0.93)))
    assert found.rule == "binomial"
    assert found.error == pytest.approx(1.959964 * binomial, rel=1e-6)
