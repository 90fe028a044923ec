import numpy as np

from bn_repro.analysis import tables, testing
from bn_repro.analysis.layers import drift
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import records


def test_markdown_and_html_escape_what_would_break_them():
    table = Table("a < b", ["x", "y"], [["1|2", "<i>"]], "n & m")
    assert table.markdown() == (
        "### a < b\n\n| x | y |\n| --- | --- |\n| 1\\|2 | <i> |\n\nn & m\n"
    )
    page = table.html()
    assert "<h2>a &lt; b</h2>" in page
    assert "<td>1|2</td><td>&lt;i&gt;</td>" in page
    assert "<p>n &amp; m</p>" in page


def test_results_have_a_row_an_arm_and_a_column_a_varying_key(tmp_path):
    testing.write_figure1(tmp_path, seeds=2, steps=1000)
    rate = {"optimizer": {"learning_rate": 30.0, "momentum": 0.0}}
    testing.write_run(
        tmp_path / "plain_fast_seed0", "none", 0, 1000, "diverged", 500, **rate
    )
    table = tables.results_table(records.find_runs(tmp_path))
    assert set(table.columns[1:3]) == {"optimizer.learning_rate", "model.norm"}
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert set(rows) == {"bn", "plain", "plain_fast"}
    assert rows["bn"]["Status"] == "2 of 2 finished"
    finals = [
        run.series("test", "ema", "accuracy")[1][-1]
        for run in records.find_runs(tmp_path)
        if run.name.startswith("bn")
    ]
    mean, deviation = 100 * np.mean(finals), 100 * np.std(finals, ddof=1)
    assert rows["bn"]["Final accuracy"] == f"{mean:.2f} ± {deviation:.2f} %"
    assert rows["plain_fast"]["optimizer.learning_rate"] == "30"
    assert rows["plain_fast"]["Status"] == "0 of 1 finished; diverged at step 501"
    assert rows["plain_fast"]["Final accuracy"] == "-"


def test_results_of_imagenet_are_of_the_validation_split(tmp_path):
    writer = records.RunWriter(tmp_path)
    writer.write_config({"seed": 0, "steps": 1})
    row = {"step": 1, "split": "val", "statistics": "ema", "accuracy": 0.25}
    writer.append_metrics(row)
    writer.write_status("finished", 1)
    (row,) = tables.results_table(records.find_runs(tmp_path)).rows
    assert row[-2:] == ["25.00 %", "25.00 %"]


def test_drift_has_a_row_a_layer_and_arm(tmp_path):
    writer = records.RunWriter(tmp_path / "bn_seed0")
    writer.write_config({"seed": 0, "steps": 6000})
    # One unit a layer; its median goes 0, 2, 3 and its spread is 1, 2, 2.
    for step, median, spread in ((0, 0, 1), (5000, 2, 2), (6000, 3, 2)):
        inputs = np.array([[median - spread / 2], [median], [median + spread / 2]])
        writer.append_activations(
            step,
            {"hidden_1": inputs},
            percentiles=(15, 50, 85),
            gradient_norm=[0],
            saturated=[0],
            input_histogram=[[1]],
            output_histogram=[[1]],
            input_range=[[0, 1]],
            output_range=[[0, 1]],
        )
    writer.write_status("finished", 6000)
    table = tables.drift_table(records.find_runs(tmp_path))
    # The mean spread over time is (5000 * 1.5 + 1000 * 2) / 6000.
    location = ["1.89 [1.89, 1.89]", "0.50 [0.50, 0.50]"]
    scale = ["0.69 [0.69, 0.69]", "0.00 [0.00, 0.00]"]
    assert table.rows == [["hidden_1", "bn", *location, *scale]]


def test_a_start_that_no_run_lasts_to_has_no_column(tmp_path):
    testing.write_run(tmp_path / "bn", steps=5000)  # one probe from 5,000 on
    table = tables.drift_table(records.find_runs(tmp_path))
    starts = ["Location drift, step 0 to 5,000", "Scale drift, step 0 to 5,000"]
    assert table.columns == ["Layer", "Runs", *starts]
    testing.write_run(tmp_path / "plain", "none", steps=7000)
    table = tables.drift_table(records.find_runs(tmp_path))
    assert len(table.columns) == 6
    shown = [row[3] for row in table.rows if row[1] == "bn"]
    assert shown == ["-"] * 3
    testing.write_run(tmp_path / "killed", seed=1, steps=5000, status="running")
    assert tables.drift_table(records.find_runs(tmp_path)).rows == table.rows


def test_dead_layers_are_called_dead(tmp_path):
    cells = tables._drift_cell(np.array([[np.inf] * 3, [np.inf] * 3]))
    assert cells == "dead"
    cells = tables._drift_cell(np.array([[1, 0.5, np.inf], [2, 1.5, np.inf]]))
    assert cells == "1.50 ± 0.71 [1.00, dead]"


def test_unfinished_runs_are_in_no_mean(tmp_path):
    testing.write_run(tmp_path / "bn_seed0", steps=1000)
    before = tables.results_table(records.find_runs(tmp_path)).rows[0]
    testing.write_run(
        tmp_path / "bn_seed1", seed=1, steps=1000, done=500, status="failed"
    )
    (row,) = tables.results_table(records.find_runs(tmp_path)).rows
    assert row[-2:] == before[-2:]
    assert row[2] == "1 of 2 finished; failed at step 500 of 1,000"


def test_accuracy_with_algorithm_2_has_a_column_where_it_was_recorded(tmp_path):
    writer = testing.write_run(tmp_path / "bn", steps=1000)
    assert (
        "Final accuracy, Algorithm 2"
        not in tables.results_table(records.find_runs(tmp_path)).columns
    )
    row = {"step": 1000, "split": "test", "statistics": "population", "accuracy": 0.875}
    writer.append_metrics(row)
    table = tables.results_table(records.find_runs(tmp_path))
    assert (table.columns[-1], table.rows[0][-1]) == (
        "Final accuracy, Algorithm 2",
        "87.50 %",
    )


def test_a_deep_network_has_one_row_of_drift(tmp_path, monkeypatch):
    testing.write_run(tmp_path / "bn", steps=2000)
    (run,) = records.find_runs(tmp_path)
    monkeypatch.setattr(tables, "MOST_LAYERS", 2)
    table = tables.drift_table([run])
    per_layer = [
        drift.unit_drifts(run.activations, f"hidden_{i}")[0] for i in (1, 2, 3)
    ]
    median, lower, upper = drift.quartiles(np.concatenate(per_layer))
    (row,) = table.rows
    assert row[:2] == ["all 3", "bn"]
    assert row[2] == f"{median:.2f} [{lower:.2f}, {upper:.2f}]"
    assert "all layers' recorded units" in table.note


def test_mean_text():
    assert tables.mean_text(np.array([1.0, 2.0])) == "1.50 ± 0.71"
    assert tables.mean_text(np.array([1.0, np.nan])) == "1.00"
    assert tables.mean_text(np.array([0.5]), signed=True) == "+0.50"
    assert tables.mean_text(np.array([1.0, np.inf])) == "1.00 (dead in 1 of 2)"
    assert tables.mean_text(np.array([np.inf, np.inf])) == "dead"
    assert tables.mean_text(np.array([])) == tables.percent([]) == "-"


def test_the_seed_is_no_varying_key():
    configs = [{"seed": 0, "a": {"b": 1}}, {"seed": 1, "a": {"b": 1}}, {"a": {"b": 2}}]
    assert tables.varying_keys(configs) == ["a.b"]


def test_status_in_words(tmp_path):
    testing.write_run(tmp_path, steps=1000, done=500)
    run = records.read_run(tmp_path)

    def words(status, **fields):
        run.status = {"status": status, "step": 500, **fields}
        return tables.status_text(run)

    assert words("finished") == "finished, 500 steps"
    assert words("diverged", first_bad_step=321) == "diverged at step 321"
    assert words("running") == "running, or killed, at step 500 of 1,000"
    assert words("failed", message="a\nb") == "failed at step 500 of 1,000: a b"
    assert words("interrupted") == "interrupted at step 500 of 1,000"
