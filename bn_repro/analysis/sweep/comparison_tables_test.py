import dataclasses

import numpy as np

from bn_repro.analysis import testing
from bn_repro.analysis.layers import drift
from bn_repro.analysis.sweep import comparison, comparison_tables
from bn_repro.run_folder import records


def rows(table):
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_arms_of_a_hand_computed_example(sample_sweep):
    table = comparison_tables.arms_table(sample_sweep, 0.9)
    shown = rows(table)
    plain, bn = shown["Without BN"], shown["With BN"]
    assert plain["Values tried"] == "4, 0.01 to 10"
    assert (plain["Trainable"], bn["Trainable"]) == ("0.1 to 1", "0.01 to 10")
    assert plain["Largest trainable"] == "1"
    assert bn["Largest trainable"] == "10, the largest tried"
    assert plain["Final accuracy there"] == "93.50 ± 0.71 %"
    assert plain["Steps to 90 % there"] == "500"
    assert bn["Steps to 90 % there"] == "250"
    assert plain["Against Without BN"] == "-"
    assert bn["Against Without BN"] == (
        "largest trainable at least 10 times as large; "
        "best-tuned: tie, +3.00 ± 12.71 points"
    )
    assert "final accuracy of at least 0.9 on every seed" in table.note
    assert not any("drift" in column for column in table.columns)  # no probes


def test_every_value_of_a_hand_computed_example(sample_sweep):
    shown = rows(comparison_tables.values_table(sample_sweep, 0.9))
    assert list(shown) == ["0.01", "0.1", "1", "10"]
    assert shown["10"]["Without BN: final accuracy"] == "2 of 2 diverged, from step 757"
    assert shown["10"]["Without BN: steps to 90 %"] == "-"
    assert shown["0.01"]["Without BN: final accuracy"] == "50.50 ± 0.71 %"
    assert shown["0.01"]["Without BN: steps to 90 %"] == "not reached"
    assert shown["0.01"]["With BN: steps to 90 %"] == "500"
    # After step 0 there are three evaluations a seed.
    above = "With BN: evaluations above Without BN"
    assert [row[above] for row in shown.values()] == ["6 of 6", "3 of 6", "6 of 6", "-"]


def test_what_is_unfinished_chance_or_reached_by_some_is_told(tmp_path):
    testing.write_seeds(tmp_path, "none", 0.1, [0.95])
    testing.write_seeds(tmp_path, "none", 1.0, [0.1, 0.1])
    testing.write_seeds(tmp_path, "none", 10.0, [0.96, 0.88])
    testing.write_seeds(tmp_path, "none", 20.0, [0.95], "running")
    testing.write_seeds(tmp_path, "before", 0.1, [0.95])
    testing.write_seeds(tmp_path, "before", 1.0, [0.5])
    found = comparison.find_sweep(records.find_runs(tmp_path))
    shown = rows(comparison_tables.values_table(found, 0.9))
    plain = [row["Without BN: final accuracy"] for row in shown.values()]
    assert plain == [
        "95.00 %",
        "10.00 ± 0.00 %; chance",
        "92.00 ± 5.66 %",
        "1 of 1 unfinished",
    ]
    assert shown["10"]["Without BN: steps to 90 %"] == "250 (1 of 2 seeds)"
    assert shown["10"]["With BN: final accuracy"] == "-"
    arms = rows(comparison_tables.arms_table(found, 0.9))
    assert arms["Without BN"]["Trainable"] == "0.1"
    assert arms["Without BN"]["Largest trainable"] == "0.1 so far"
    tie = arms["With BN"]["Against Without BN"]
    assert tie.startswith("largest trainable the same; best-tuned: tie, +0.00")


def test_values_with_a_gap_are_listed_and_none_is_said(tmp_path):
    for rate, final in ((0.1, 0.95), (1.0, 0.5), (10.0, 0.95)):
        testing.write_seeds(tmp_path, "none", rate, [final])
        testing.write_seeds(tmp_path, "before", rate, [0.5])
    plain, bn = comparison.find_sweep(records.find_runs(tmp_path)).arms
    assert comparison_tables.trainable_text(plain) == "0.1, 10"
    assert comparison_tables.trainable_text(bn) == "none"
    assert comparison_tables.largest_text(bn) == "-"


def test_a_largest_value_of_zero_is_no_divisor(tmp_path):
    for value in (0.0, 0.5, 0.9):
        for norm, final in (("none", 0.95 if value == 0 else 0.5), ("before", 0.95)):
            testing.write_seeds(tmp_path, norm, value, [final])
    found = comparison.find_sweep(records.find_runs(tmp_path))
    rows = [" ".join(row) for row in comparison_tables.arms_table(found, 0.9).rows]
    assert "largest trainable 0.9 against 0" in rows[1]


def test_elsewhere_the_note_names_chance(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        testing.write_seeds(tmp_path, "before", rate, [0.5], data__name="imagenet")
    found = comparison.find_sweep(records.find_runs(tmp_path))
    assert "chance (within three" in comparison_tables.arms_table(found, 0.4).note


def test_the_late_drift_of_the_best_tuned_is_over_steps_that_all_cover(tmp_path):
    for i, rate in enumerate((0.01, 0.1, 1.0)):
        for norm in ("none", "before"):
            values = {"learning_rate": rate, "momentum": 0.0}
            path = tmp_path / f"{norm}_{rate}"
            testing.write_run(path, norm, i, 8000, optimizer=values)
    sweep = comparison.find_sweep(records.find_runs(tmp_path))
    shown = rows(comparison_tables.arms_table(sweep, 0.9))
    over = drift.Window(5000, 8000)
    for arm in sweep.arms:
        (tuned,) = arm.tuned().courses
        drifts = drift.unit_drifts(tuned.run.activations, "hidden_3", over=over)
        for measure, values in zip(("location", "scale"), drifts, strict=True):
            column = f"Last layer's {measure} drift there, from step 5,000 on"
            assert shown[arm.label][column] == f"{np.sort(values)[9]:.2f}"


def test_a_sweep_that_goes_on_has_no_verdict(sample_sweep):
    runs = sample_sweep.runs()
    assert comparison_tables.more_train(runs).verdict == "yes"
    going = {"status": "running", "step": 10}
    runs = [
        dataclasses.replace(run, status=going) if run.norm != "none" else run
        for run in runs
    ]
    assert comparison_tables.more_train(runs).verdict == "unfinished"


def test_arms_of_other_values_have_no_verdict_and_no_ratio_that_may_be_less(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        testing.write_seeds(tmp_path, "none", rate, [0.95, 0.95])
        testing.write_seeds(tmp_path, "before", rate, [0.95, 0.95])
    testing.write_seeds(tmp_path, "before", 30.0, [0.95, 0.95])
    runs = records.find_runs(tmp_path)
    assert comparison_tables.more_train(runs).verdict == "not decided"
    found = comparison.find_sweep(runs)
    shown = rows(comparison_tables.arms_table(found, 0.9))["With BN"]
    assert shown["Against Without BN"].startswith(
        "largest trainable at least 30 against at least 10;"
    )
    one, other = (arm._replace(points=arm.points[:3]) for arm in found.arms)
    assert comparison_tables._times(other, one) == "at least 10 against at least 10"
    testing.write_seeds(tmp_path, "before", 100.0, [0.5])
    found = comparison.find_sweep(records.find_runs(tmp_path))
    assert comparison_tables._times(*found.arms[::-1]) == "at most 3 times as large"
