import json

import numpy as np
import pytest

from bn_repro.analysis import intake, report_parts, testing
from bn_repro.analysis.layers import drift_table
from bn_repro.errors import UserError
from bn_repro.run_folder import records


def two_arms(folder):
    testing.write_run(folder / "bn_seed0", steps=1000)
    testing.write_run(folder / "plain_seed0", "none", steps=1000)


def names(runs):
    return [run.name for run in runs]


def edit(path, change):
    """Changes the object in a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_same_configuration_in_two_folders_is_one_run(tmp_path):
    two_arms(tmp_path)
    testing.write_run(tmp_path / "mine" / "bn", steps=1000)
    runs, notes = intake.load(tmp_path)
    assert names(runs) == ["bn_seed0", "plain_seed0"]
    assert notes == ["Left out: mine/bn, of the same configuration as bn_seed0"]


@pytest.mark.parametrize("status", ["running", "interrupted", "failed", "diverged"])
def test_a_run_that_did_not_finish_is_named_and_in_no_mean(tmp_path, status):
    two_arms(tmp_path)
    testing.write_run(
        tmp_path / "bn_seed1", seed=1, steps=1000, status=status, done=500
    )
    runs, (note,) = intake.load(tmp_path)
    assert note.startswith("Not finished, in no mean: bn_seed1 (")
    kept = [run for run in runs if run.name != "bn_seed1"]
    assert drift_table.drift_table(runs).rows == drift_table.drift_table(kept).rows


FAULTS = {
    "no norm": lambda config: config["model"].pop("norm"),
    "steps in words": lambda config: config.update(steps="many"),
    "no classes": lambda config: config["data"].update(classes=0),
    "no model": lambda config: config.update(model=None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_odd_configuration_is_named_and_the_rest_is_shown(tmp_path, fault):
    two_arms(tmp_path)
    testing.write_run(tmp_path / "odd", steps=500)
    edit(tmp_path / "odd" / records.CONFIG, FAULTS[fault])
    runs, (note,) = intake.load(tmp_path)
    assert names(runs) == ["bn_seed0", "plain_seed0"]
    assert note.startswith("Left out: ") and "odd" in note


def test_odd_records_are_named(tmp_path):
    for name in ("status", "metrics"):
        testing.write_run(tmp_path / name, seed=len(name), steps=500)
    edit(tmp_path / "status" / records.STATUS, lambda status: status.update(status=5))
    with open(tmp_path / "metrics" / records.METRICS, "a") as file:
        file.write('{"step": 500, "split": "test", "accuracy": "high"}\n')
    with pytest.raises(UserError, match="metrics.jsonl is corrupt: line .*'high'"):
        intake.load(tmp_path)
    two_arms(tmp_path)
    runs, notes = intake.load(tmp_path)
    assert names(runs) == ["bn_seed0", "plain_seed0"]
    assert "status/status.json is corrupt" in notes[1]


def change_arrays(path, **arrays):
    with np.load(path / records.ACTIVATIONS) as archive:
        kept = dict(archive)
    np.savez(path / records.ACTIVATIONS, **kept | arrays)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"hidden_2": np.zeros((2, 3, 0))}, "hidden_2 has no units"),
        ({"hidden_2": np.full((2, 3, 20), np.nan)}, "hidden_2 is not finite"),
    ],
)
def test_activations_that_cannot_be_drawn_cost_only_themselves(tmp_path, arrays, words):
    two_arms(tmp_path)
    change_arrays(tmp_path / "bn_seed0", **arrays)
    runs, (note,) = intake.load(tmp_path)
    assert note == f"Activations left out: those of bn_seed0: {words}"
    assert runs[0].activations is None and runs[1].activations is not None


def test_runs_probed_otherwise_or_without_accuracy_are_named(tmp_path):
    for seed in range(4):
        testing.write_run(tmp_path / f"bn_seed{seed}", seed=seed, steps=1000)
    (tmp_path / "bn_seed1" / records.ACTIVATIONS).unlink()
    change_arrays(tmp_path / "bn_seed3", hidden_3=np.ones((2, 3, 5)))
    (tmp_path / "bn_seed2" / records.METRICS).unlink()
    _, notes = intake.load(tmp_path)
    assert notes == [
        "Finished without an accuracy: bn_seed2",
        "Of other probes than the other seeds: bn_seed1, bn_seed3",
    ]


def test_other_percentiles_are_named_and_the_rest_is_drawn(tmp_path):
    two_arms(tmp_path / "runs")
    testing.write_run(tmp_path / "runs" / "bn_seed1", seed=1, steps=1000)
    odd = np.array([5.0, 50.0, 95.0])
    change_arrays(tmp_path / "runs" / "bn_seed1", percentiles=odd)
    runs, (note, other) = intake.load(tmp_path / "runs")
    assert other == "Of other probes than the other seeds: bn_seed1"
    assert note == (
        "Without drift: bn_seed1, which recorded the percentiles 5, 50, 95, not 15, "
        "50, 85 (probe.percentiles)"
    )
    part = report_parts.compose(
        report_parts.Given(tmp_path, runs, None, tmp_path, None)
    )
    stems = [drawing.png.stem for drawing in part.drawings]
    assert stems == ["figure1", "layers", "histograms", "gradients"]
    assert part.notes == []


def test_a_run_that_fails_alone_is_left_out_of_what_is_made():
    def make(runs):
        return [10 // run.value for run in runs]

    class Fake:
        def __init__(self, name, value):
            self.name, self.value = name, value

    one, odd, two = Fake("one", 1), Fake("odd", 0), Fake("two", 2)
    assert intake.without_odd("tens", make, [one, two]) == ([10, 5], [])
    made, (note,) = intake.without_odd("tens", make, [one, odd, two])
    assert made == [10, 5] and note.startswith("Left out of tens: odd (ZeroDivision")
    made, (note,) = intake.without_odd("tens", make, [odd])
    assert made is None and note.startswith("Without tens: it failed (ZeroDivision")

    def refuse(runs):
        raise UserError("no such target")

    with pytest.raises(UserError, match="no such target"):
        intake.without_odd("tens", refuse, [one])
