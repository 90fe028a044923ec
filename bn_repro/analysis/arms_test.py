import numpy as np

from bn_repro.analysis import arms, testing
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def sample(tmp_path, name, norm="before", seed=0, steps=1000, **others):
    testing.write_run(tmp_path / name, norm, seed, steps, **others)


def names(runs):
    return [run.name for run in runs]


def test_runs_that_differ_in_the_seed_only_are_one_arm(tmp_path):
    for seed in (0, 1, 10):
        sample(tmp_path, f"bn_seed{seed}", seed=seed, stated={"data.seed": -1})
    sample(tmp_path, "bn_long_seed0", steps=1500)
    found = arms.group(records.find_runs(tmp_path))
    assert {arm.label: arm.seeds for arm in found} == {
        "bn_long": [0],
        "bn": [0, 1, 10],
    }


def test_seeds_from_machines_of_other_settings_are_one_arm(tmp_path):
    sample(tmp_path, "bn_seed0")
    data = records.read_run(tmp_path / "bn_seed0").config["data"] | {"workers": 9}
    sample(tmp_path, "bn_seed1", seed=1, data=data, steps_per_call=7)
    (arm,) = arms.group(records.find_runs(tmp_path))
    assert arm.seeds == [0, 1]


def test_figure1_takes_the_setting_with_both_arms_and_tells_what_it_left_out(tmp_path):
    for seed in range(3):
        sample(tmp_path, f"bn_long_seed{seed}", seed=seed, steps=1500)
    sample(tmp_path, "bn")
    sample(tmp_path, "plain", "none")
    sample(tmp_path, "after", "after")
    sample(tmp_path, "other", experiment="imagenet")
    selected = arms.of_figure1(records.find_runs(tmp_path))
    assert names(selected.plain.runs) == ["plain"]
    assert names(selected.bn.runs) == ["bn"]
    assert len(selected.left_out) == 5


def test_without_a_run_of_figure1_both_arms_are_missing(tmp_path):
    sample(tmp_path, "other", experiment="imagenet")
    selected = arms.of_figure1(records.find_runs(tmp_path))
    assert (selected.plain, selected.bn) == (None, None)
    assert names(selected.left_out) == ["other"]


def arm_of(tmp_path, rows):
    """Returns an arm of one run a list of test accuracies at steps 0, 10, 20, ..."""
    for seed, accuracies in enumerate(rows):
        writer = RunWriter(tmp_path / f"bn_seed{seed}")
        writer.write_config({"seed": seed, "steps": 20})
        for i, accuracy in enumerate(accuracies):
            row = {"step": 10 * i, "split": "test", "statistics": "ema"}
            writer.append_metrics(row | {"accuracy": accuracy})
        done = 10 * (len(accuracies) - 1)
        writer.write_status("finished" if done == 20 else "running", done)
    (arm,) = arms.group(records.find_runs(tmp_path))
    return arm


def test_a_curve_is_the_mean_and_range_of_the_finished_runs(tmp_path):
    arm = arm_of(tmp_path, [[0.1, 0.5, 0.9], [0.9, 0.9], [0.3, 0.7, 0.9]])
    curve = arms.curve(arm, "test", "ema", "accuracy")
    np.testing.assert_array_equal(curve.steps, [0, 10, 20])
    np.testing.assert_allclose(curve.mean, [0.2, 0.6, 0.9])
    np.testing.assert_allclose(curve.low, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(curve.high, [0.3, 0.7, 0.9])
    assert arms.curve(arm, "val", "ema", "accuracy") is None


def test_while_none_has_finished_the_furthest_is_shown_alone(tmp_path):
    arm = arm_of(tmp_path, [[0.1], [0.3, 0.7], [0.2]])
    np.testing.assert_allclose(
        arms.curve(arm, "test", "ema", "accuracy").mean, [0.3, 0.7]
    )
    assert names(arm.shown()) == ["bn_seed1"]


def test_a_configuration_in_two_folders_counts_once(tmp_path):
    sample(tmp_path, "again", done=500, status="interrupted")
    sample(tmp_path, "bn_seed0")
    sample(tmp_path, "bn_seed1", seed=1)
    sample(tmp_path, "copy_seed1", seed=1)
    kept, repeats = arms.unique(records.find_runs(tmp_path))
    assert names(kept) == ["bn_seed0", "bn_seed1"]
    told = [(run.name, other.name) for run, other in repeats]
    assert told == [("again", "bn_seed0"), ("copy_seed1", "bn_seed1")]
    (arm,) = arms.group(records.find_runs(tmp_path))
    assert names(arm.runs) == ["bn_seed0", "bn_seed1"]


def test_figure1_takes_two_arms_of_unequal_rate_if_they_are_the_only_ones(tmp_path):
    fast = {"optimizer": {"learning_rate": 3.0, "momentum": 0.0}}
    sample(tmp_path, "plain", "none", experiment="mnist_best_rates", **fast)
    sample(tmp_path, "bn", experiment="mnist_best_rates")
    selected = arms.of_figure1(records.find_runs(tmp_path))
    assert names(selected.plain.runs) == ["plain"] and names(selected.bn.runs) == ["bn"]
    assert arms.learning_rate(selected.plain) == "3"
    sample(tmp_path, "bn_fast", experiment="mnist_best_rates", steps=1500)
    selected = arms.of_figure1(records.find_runs(tmp_path))
    assert None in (selected.plain, selected.bn)


def test_final_values_are_of_finished_runs_only(tmp_path):
    arm = arm_of(tmp_path, [[0.1, 0.5, 0.9], [0.3, 0.7], [0.2, 0.6, 0.8]])
    np.testing.assert_array_equal(
        arms.final_values(arm, "test", "ema", "accuracy"), [0.9, 0.8]
    )


def test_number_list():
    assert arms.number_list([2, 0, 1, 1]) == "0-2"
    assert arms.number_list([0, 1]) == "0, 1"
    assert arms.number_list([0, 1, 3]) == "0, 1, 3"
