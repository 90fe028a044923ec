import numpy as np
import pytest

from bn_repro.analysis import arms, figure1_table, testing
from bn_repro.analysis.layers import drift
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def write_run(path, norm, seed, accuracies, steps=20, **more_statistics):
    """Writes a run with these test accuracies at steps 0, 10, 20, ... and no probes."""
    writer = RunWriter(path)
    writer.write_config(testing.config(norm, seed, steps))
    curves = {"ema": accuracies, **more_statistics}
    for statistics, values in curves.items():
        for i, accuracy in enumerate(values):
            row = {"step": 10 * i, "split": "test", "statistics": statistics}
            writer.append_metrics(row | {"accuracy": accuracy})
    done = 10 * (len(accuracies) - 1)
    writer.write_status("finished" if done == steps else "interrupted", done)


def ours(folder):
    """Returns claim -> (ours, seeds) of the runs below folder."""
    selected = arms.of_figure1(records.find_runs(folder))
    rows = figure1_table.figure1_table(selected).rows
    return {claim: (cell, seeds) for claim, _, cell, seeds, _ in rows}


THROUGHOUT = "BN is more accurate throughout the training, at rate 0.01"
SOONER = "BN reaches the other network's final accuracy sooner"
WITH_BN = "Test accuracy at the end, with BN (moving averages)"
POPULATION = "Test accuracy at the end, with BN (Algorithm 2)"
WITHOUT_BN = "Test accuracy at the end, without BN"
GAP = "Moving averages stand in for mini-batch statistics: difference at the end"
DRIFT = "Last hidden layer: less {} drift with BN, from step {} on"


def test_accuracies_of_a_hand_computed_example(tmp_path):
    write_run(tmp_path / "plain_seed0", "none", 0, [0.2, 0.5, 0.8])
    write_run(tmp_path / "plain_seed1", "none", 1, [0.2, 0.7, 0.9])
    batch = [0.1, 0.5, 0.85]
    write_run(tmp_path / "bn_seed0", "before", 0, [0.1, 0.96, 0.95], batch=batch)
    batch = [0.1, 0.5, 0.96]
    population = [0.1, 0.9, 0.98]
    write_run(
        tmp_path / "bn_seed1",
        "before",
        1,
        [0.1, 0.68, 0.97],
        batch=batch,
        population=population,
    )
    shown = ours(tmp_path)
    # Of the pairs 0.68 against 0.7 is below.
    assert shown[THROUGHOUT] == (
        "at 3 of 4 evaluations after step 0, seed by seed",
        "0, 1",
    )
    assert shown[SOONER] == ("after 20 of 20 steps", "0, 1")
    deviation = 100 * np.std([0.95, 0.97], ddof=1)
    assert shown[WITH_BN] == (f"96.00 ± {deviation:.2f} %", "0, 1")
    assert shown[WITHOUT_BN] == ("85.00 ± 7.07 %", "0, 1")
    assert shown[POPULATION] == ("98.00 %", "0, 1")
    assert shown[GAP] == ("+5.50 ± 6.36 points", "0, 1")  # 10 and 1
    assert shown[DRIFT.format("scale", "0")][0] == "no two probes there"


def test_only_finished_seeds_count_at_the_end(tmp_path):
    write_run(tmp_path / "bn_seed0", "before", 0, [0.1, 0.9, 0.95])
    write_run(tmp_path / "bn_seed1", "before", 1, [0.1, 0.5])
    write_run(tmp_path / "plain_seed0", "none", 0, [0.1, 0.2])
    shown = ours(tmp_path)
    assert shown[WITH_BN] == ("95.00 %", "0, 1 (1 finished)")
    assert shown[WITHOUT_BN] == ("unfinished", "0 (0 finished)")
    assert shown[SOONER][0] == "unfinished"
    assert shown[THROUGHOUT] == (
        "at 1 of 1 evaluations after step 0, seed by seed",
        "0",  # bn's seed 1 goes on
    )
    assert shown[GAP][0] == "unfinished"


def test_bn_that_never_gets_there_is_told(tmp_path):
    write_run(tmp_path / "bn", "before", 0, [0.1, 0.2, 0.3])
    write_run(tmp_path / "plain", "none", 0, [0.1, 0.2, 0.9])
    shown = ours(tmp_path)
    assert (
        shown[THROUGHOUT][0] == "at 0 of 2 evaluations after step 0, seed by seed"
    )  # equal is not above
    assert shown[SOONER][0] == "not reached"


@pytest.mark.parametrize(
    ("norm", "missing"), [("none", WITH_BN), ("before", WITHOUT_BN)]
)
def test_a_missing_network_is_told(tmp_path, norm, missing):
    write_run(tmp_path / "run", norm, 0, [0.1, 0.2, 0.3])
    shown = ours(tmp_path)
    assert shown[missing][0].startswith("missing: no run with")
    assert shown[THROUGHOUT][1] == "-"
    assert shown[THROUGHOUT][0] == shown[SOONER][0] == "needs both networks"


def test_drift_is_the_mean_over_seeds_of_the_last_layers_medians(sample_figure1):
    table = figure1_table.figure1_table(sample_figure1)
    shown = {row[0]: row[2] for row in table.rows}
    for column, measure in enumerate(("location", "scale")):
        for start, text in ((0, "0"), (5000, "5,000")):
            cells = []
            for arm in (sample_figure1.plain, sample_figure1.bn):
                over = drift.Window(start, 50_000)
                drifts = [
                    drift.unit_drifts(run.activations, "hidden_3", over)[column]
                    for run in arm.runs
                ]
                medians = [np.sort(values)[9] for values in drifts]  # lower middle
                deviation = np.std(medians, ddof=1)
                cells.append(f"{np.mean(medians):.2f} ± {deviation:.2f}")
            expected = f"without BN {cells[0]}, with BN {cells[1]}"
            assert shown[DRIFT.format(measure, text)].endswith(expected)


def test_the_settings_stand_in_the_note(sample_figure1):
    note = figure1_table.figure1_table(sample_figure1).note
    assert "50,000 steps of 60 examples, at rate 0.01." in note


def test_arms_of_unequal_rate_are_told(tmp_path):
    rate = {"optimizer": {"learning_rate": 3.0, "momentum": 0.0}}
    testing.write_run(tmp_path / "plain", "none", 0, 500, **rate)
    testing.write_run(tmp_path / "bn", "before", 0, 500)
    table = figure1_table.figure1_table(arms.of_figure1(records.find_runs(tmp_path)))
    assert table.rows[0][0].endswith("at rate 3 without BN and 0.01 with BN")


def test_more_drift_is_no_and_a_difference_within_the_seeds_a_tie():
    low, high = {0: 1.0, 1: 1.1}, {0: 3.0, 1: 3.05}
    assert figure1_table._verdict(plain=low, bn=high) == "no: "
    assert figure1_table._verdict(plain=high, bn=low) == "yes: "
    assert figure1_table._verdict(plain=low, bn={0: 1.1, 1: 1.0}) == "a tie: "
    assert figure1_table._verdict(plain=low, bn={}) == ""
    assert (
        figure1_table._verdict(plain={0: 3.0}, bn=low) == ""
    )  # one seed has no spread


def test_runs_too_short_for_late_drift_are_told(tmp_path):
    testing.write_figure1(tmp_path, seeds=1, steps=3000)
    shown = ours(tmp_path)
    assert shown[DRIFT.format("scale", "5,000")][0] == "no two probes there"
    assert shown[DRIFT.format("scale", "0")][0].startswith("without BN ")
