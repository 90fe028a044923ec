import numpy as np

from bn_repro.analysis import testing
from bn_repro.analysis.layers import drift, drift_table
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def test_drift_has_a_row_a_layer_and_arm(tmp_path):
    writer = RunWriter(tmp_path / "bn_seed0")
    writer.write_config({"seed": 0, "steps": 6000})
    # One unit a layer; its median goes 0, 2, 3 and its spread is 1, 2, 2.
    for step, median, spread in ((0, 0, 1), (5000, 2, 2), (6000, 3, 2)):
        inputs = np.array([[median - spread / 2], [median], [median + spread / 2]])
        writer.append_activations(step, {"hidden_1": inputs}, percentiles=(15, 50, 85))
    writer.write_status("finished", 6000)
    table = drift_table.drift_table(records.find_runs(tmp_path))
    # The mean spread over time is (5000 * 1.5 + 1000 * 2) / 6000.
    location = ["1.89 [1.89, 1.89]", "0.50 [0.50, 0.50]"]
    scale = ["0.69 [0.69, 0.69]", "0.00 [0.00, 0.00]"]
    assert table.rows == [["hidden_1", "bn", *location, *scale]]


def test_a_start_that_no_run_lasts_to_has_no_column(tmp_path):
    testing.write_run(tmp_path / "bn", steps=5000)  # one probe from 5,000 on
    table = drift_table.drift_table(records.find_runs(tmp_path))
    starts = ["Location drift, step 0 to 5,000", "Scale drift, step 0 to 5,000"]
    assert table.columns == ["Layer", "Runs", *starts]
    testing.write_run(tmp_path / "plain", "none", steps=7000)
    table = drift_table.drift_table(records.find_runs(tmp_path))
    assert len(table.columns) == 6
    shown = [row[3] for row in table.rows if row[1] == "bn"]
    assert shown == ["-"] * 3
    assert "Left out" not in table.note
    testing.write_run(tmp_path / "killed", seed=1, steps=5000, status="running")
    assert drift_table.drift_table(records.find_runs(tmp_path)).rows == table.rows


def test_runs_too_short_for_the_steps_are_named(tmp_path):
    for seed, steps in enumerate((20_000, 20_000, 1000, 1000)):
        testing.write_run(tmp_path / f"bn_seed{seed}", seed=seed, steps=steps)
    testing.write_run(tmp_path / "plain_seed0", "none", steps=1000)
    table = drift_table.drift_table(records.find_runs(tmp_path))
    assert table.columns[2] == "Location drift, step 0 to 20,000"
    assert {row[1] for row in table.rows} == {"bn"}
    assert table.note.endswith(": 2 of 4 seeds of bn, 1 of 1 seeds of plain.")


def test_dead_layers_are_called_dead(tmp_path):
    cells = drift_table._drift_cell(np.array([[np.inf] * 3, [np.inf] * 3]))
    assert cells == "dead"
    cells = drift_table._drift_cell(np.array([[1, 0.5, np.inf], [2, 1.5, np.inf]]))
    assert cells == "1.50 ± 0.71 [1.00, dead]"


def test_a_deep_network_has_one_row_of_drift(tmp_path, monkeypatch):
    testing.write_run(tmp_path / "bn", steps=2000)
    (run,) = records.find_runs(tmp_path)
    monkeypatch.setattr(drift_table, "MOST_LAYERS", 2)
    table = drift_table.drift_table([run])
    per_layer = [
        drift.unit_drifts(run.activations, f"hidden_{i}")[0] for i in (1, 2, 3)
    ]
    median, lower, upper = drift.quartiles(np.concatenate(per_layer))
    (row,) = table.rows
    assert row[:2] == ["all 3", "bn"]
    assert row[2] == f"{median:.2f} [{lower:.2f}, {upper:.2f}]"
    assert "all layers' recorded units" in table.note
