import pytest

from bn_repro.analysis import report, testing
from bn_repro.errors import UserError
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def write(folder):
    made, paths = report.write_report(folder)
    assert all(path.stat().st_size > 0 for path in paths)
    return made, {path.name for path in paths}


def test_a_report_has_the_figure_the_tables_and_the_page(tmp_path, sample_folder):
    made, paths = report.write_report(sample_folder, tmp_path / "new" / "folder")
    figures = ["figure1", "layers", "histograms", "gradients"]
    names = [f"{name}.{ending}" for name in figures for ending in ("png", "pdf")]
    names += ["tables.md", "report.html"]
    assert paths == [tmp_path / "new" / "folder" / name for name in names]
    assert [table.title for table in made.tables] == [
        "Figure 1: the paper's claims and our runs",
        "Results",
        "Drift of the inputs to the nonlinearities",
        "Runs",
    ]
    assert made.notes == []
    head, *arms = made.summary().splitlines()
    assert head.endswith(" finished") and "run(s), " in head
    assert all(
        ": test accuracy " in arm and " % at the last step" in arm for arm in arms
    )
    assert len(arms) == 2 and arms[0].startswith("  bn, seed 0")
    text = paths[-2].read_text()
    assert "![Figure 1](figure1.png)" in text and "![Layers](layers.png)" in text


def test_equal_runs_give_equal_reports(tmp_path):
    testing.write_figure1(tmp_path / "runs", seeds=1, steps=500)
    _, first = report.write_report(tmp_path / "runs", tmp_path / "1")
    _, second = report.write_report(tmp_path / "runs", tmp_path / "2")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_what_is_missing_unfinished_or_unreadable_is_told(tmp_path):
    testing.write_run(tmp_path / "bn_seed0", steps=1000, status="running", done=500)
    testing.write_run(tmp_path / "bn_long_seed0", steps=2000, done=0)
    testing.write_run(tmp_path / "bn_seed1", seed=1, steps=1000)
    testing.write_run(tmp_path / "broken", steps=500)
    (tmp_path / "broken" / records.STATUS).write_text("{")
    made, names = write(tmp_path)
    assert "figure1.png" in names
    left_out, unfinished, missing, other = made.notes
    assert left_out.startswith("Left out: ") and "status.json is corrupt" in left_out
    assert "no run without BN; train it with python scripts/train.py" in missing
    assert (
        f"--config configs/mnist.py:plain --workdir {tmp_path}/plain_seed0" in missing
    )
    assert "bn_seed0 (running, or killed, at step 500 of 1,000)" in unfinished
    assert "bn_long_seed0" in other
    summary = made.summary().splitlines()
    assert summary[-1] == f"  {left_out}; 3 more in tables.md" and len(summary) <= 5


def test_a_run_that_diverged_at_once_still_gets_a_report(tmp_path):
    testing.write_run(tmp_path / "plain", "none", 0, 500, "diverged", 0)
    testing.write_run(tmp_path / "bn", "before", 0, 500)
    made, _ = write(tmp_path)
    assert made.notes == ["Not finished, in no mean: plain (diverged at step 1)"]


def test_a_run_that_has_only_just_started_gets_a_report(tmp_path):
    config = testing.config("before", 0, 1000)
    RunWriter(tmp_path / "bn").write_config(config)
    made, _ = write(tmp_path)
    assert "bn (unknown at step 0 of 1,000)" in made.notes[0]


def test_imagenet_gets_figure_2_and_the_table_of_figure_3(tmp_path):
    plain = {"model__norm": "none"}
    testing.write_course(tmp_path / "inception", [0.01, 0.2], **plain)
    testing.write_course(tmp_path / "bn_x5", [0.01, 0.3], "running")
    testing.write_course(tmp_path / "wide", [0.01], model__width=1.0)
    made, names = write(tmp_path)
    assert {"figure2.png", "figure2.pdf", "tables.md", "report.html"} == names
    assert [table.title for table in made.tables[:4]] == [
        "Figure 3: accuracy of each network",
        "Figure 3: steps to the target",
        "Figures 2 and 3: the paper's claims and our runs",
        "Results",
    ]
    assert made.notes == [
        "Not finished, in no mean: bn_x5 (running, or killed, at step 250 of 3,000)",
        "Not in Figure 2, of another scale: wide",
    ]
    assert "![Figure 2](figure2.png)" in (tmp_path / "tables.md").read_text()


def test_a_sweep_gets_its_figure_and_tables_in_the_order_of_its_values(tmp_path):
    for rate in (10.0, 0.1, 1.0):
        testing.write_course(
            tmp_path / f"bn_lr{rate:g}", [0.01, 0.2], optimizer__learning_rate=rate
        )
    made, names = write(tmp_path)
    assert {"sweep.png", "sweep.pdf", "tables.md", "report.html"} == names
    assert [table.title for table in made.tables[:3]] == [
        "Sweep of the learning rate: what trains, and the best of each arm",
        "Sweep of the learning rate: every value",
        "Results",
    ]
    assert [row[0] for row in made.tables[2].rows] == ["bn_lr0.1", "bn_lr1", "bn_lr10"]


def test_the_target_can_be_told(tmp_path):
    for name, best in (("inception", 0.2), ("bn_x5", 0.3)):
        testing.write_course(tmp_path / name, [best])
    for target, text in (("bn_x5", "30.00 %, the plateau of BN-x5"), (0.25, "25.00 %")):
        made, paths = report.write_report(tmp_path, target=target)
        assert made.tables[1].note.startswith(f"Target: {text}")
        assert f"Target: {text}" in paths[-1].read_text()
    with pytest.raises(UserError, match="no run 'bn_x6' to take the target from"):
        report.write_report(tmp_path, target="bn_x6")


def test_other_experiments_get_their_curves(tmp_path):
    testing.write_run(tmp_path / "bn_x5", steps=500, experiment="another")
    made, names = write(tmp_path)
    assert {"convergence.png", "convergence.pdf", "tables.md", "report.html"} == names
    titles = [table.title for table in made.tables]
    assert "Accuracy of each run" in titles and "Results" in titles


def test_one_run_folder_will_do(tmp_path):
    testing.write_run(tmp_path / "bn_seed0", steps=500)
    made, _ = write(tmp_path / "bn_seed0")
    assert [run.name for run in made.runs] == ["bn_seed0"]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=f"no run in or below {tmp_path}; train one with"
    ):
        report.write_report(tmp_path)
    with pytest.raises(UserError, match="no run in or below nowhere"):
        report.write_report("nowhere")


def test_an_out_that_cannot_be_written_is_named(tmp_path, sample_folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*file/out: Not a directory"):
        report.write_report(sample_folder, tmp_path / "file" / "out")
