import math

from bn_repro.analysis import convergence, figure3, testing
from bn_repro.run_folder import records


def read(folder, wanted=None):
    """Returns the courses and the target of the runs below a folder."""
    found, _ = convergence.courses(records.find_runs(folder))
    return found, convergence.find_target(found, wanted)


def rows(table):
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def write(folder, **runs):
    """Writes runs by name, each (accuracies, status, overrides)."""
    for name, (accuracies, status, overrides) in runs.items():
        testing.write_course(folder / name, accuracies, status, **overrides)


PLAIN = {"model__norm": "none", "optimizer__learning_rate": 0.0015}
RISING = [0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.15, 0.16, 0.17, 0.18, 0.2]


def test_fig_3_of_a_hand_computed_example(tmp_path):
    write(
        tmp_path,
        inception=(RISING, "finished", PLAIN),
        bn_x5=([0.01, 0.19, 0.3], "finished", {}),
        bn_x30=([0.01, 0.2, 0.21], "running", {}),
        inception_x5=([0.01, 0.012], "diverged", PLAIN),
        other=([0.01, 0.19], "finished", {}),
    )
    found, target = read(tmp_path)
    table = figure3.figure3_table(found, target)
    assert "Target: 20.00 %, the best of Inception. " in table.note
    shown = rows(table)
    error = 100 * math.sqrt(0.2 * 0.8 / 5000)
    inception = shown["Inception"]
    assert inception["Best accuracy"] == f"20.00 ± {error:.2f} % at step 3,000"
    assert inception["Learning rate"] == "0.0015"
    assert inception["Against Inception"] == "the target"
    assert inception["Paper: steps to 72.2 %"] == "31.0M"
    x5 = shown["BN-x5"]
    assert [x5[c] for c in ("Steps to target", "Images", "Wall-clock")] == [
        "500",
        "16,000",
        "50 s",
    ]
    assert x5["Against Inception"] == "higher by 10.00 points"
    assert shown["BN-x30"]["Steps to target"] == "250"
    assert shown["BN-x30"]["Against Inception"] == (
        "running, or killed, at step 500 of 3,000; tie, difference +1.00 points"
    )
    failed = shown["Inception-x5"]
    assert failed["Steps to target"] == "diverged at step 257"
    assert failed["Against Inception"] == (
        "diverged at step 257; chance; lower by 18.80 points"
    )
    assert failed["Paper: best"] == "not printed"
    assert shown["other"]["Steps to target"] == "not reached"
    assert shown["other"]["Paper: best"] == "-"


def test_an_unfinished_target_is_so_far_and_a_number_has_no_run(tmp_path):
    write(tmp_path, inception=([0.01, 0.1], "running", PLAIN))
    assert "the best of Inception so far" in figure3.figure3_table(*read(tmp_path)).note
    table = figure3.figure3_table(*read(tmp_path, 0.5))
    assert table.rows[0][2] == "not yet"
    assert "Against the target" in table.columns


def test_only_a_reduced_scale_has_things_it_cannot_show(tmp_path):
    write(tmp_path, bn_x5=([0.1], "finished", {}))
    small = figure3.scale_note(read(tmp_path)[0][0])
    assert (
        "64 x 64 pixels, 0.25 of the paper's width, 100 classes, 3,000 steps" in small
    )
    assert "cannot show accuracies of the full network, nor steps to 72.2 %" in small
    full = {"model__width": 1.0, "data__image_size": 224, "data__classes": 1000}
    write(tmp_path / "full", bn_x5=([0.1], "finished", full))
    assert "cannot" not in figure3.scale_note(read(tmp_path / "full")[0][0])


def test_durations():
    found = [figure3.duration(s) for s in (93.4, 2100, 12_240, math.nan)]
    assert found == ["93 s", "35 min", "3.4 h", "-"]
