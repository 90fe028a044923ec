import numpy as np

from bn_repro.analysis import tables, testing
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


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
    writer = RunWriter(tmp_path)
    writer.write_config({"seed": 0, "steps": 1})
    row = {"step": 1, "split": "val", "statistics": "ema", "accuracy": 0.25}
    writer.append_metrics(row)
    writer.write_status("finished", 1)
    (row,) = tables.results_table(records.find_runs(tmp_path)).rows
    assert row[-2:] == ["25.00 %", "25.00 %"]


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


def test_mean_text():
    assert tables.mean_text(np.array([1.0, 2.0])) == "1.50 ± 0.71"
    assert tables.mean_text(np.array([1.0, np.nan])) == "1.00"
    assert tables.mean_text(np.array([0.5]), signed=True) == "+0.50"
    assert tables.mean_text(np.array([0.001, 0.003]), digits=3) == "0.002 ± 0.001"
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
