import math

import numpy as np

from bn_repro import records
from bn_repro.analysis import convergence, figure3, sample_runs


def read(folder, wanted=None):
    """Returns the courses and the target of the runs below a folder."""
    found, _ = convergence.courses(records.find_runs(folder))
    return found, convergence.find_target(found, wanted)


def rows(table):
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def write(folder, **runs):
    """Writes runs by name, each (accuracies, status, overrides)."""
    for name, (accuracies, status, overrides) in runs.items():
        sample_runs.write_course(folder / name, accuracies, status, **overrides)


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


def claims(folder):
    found, _ = read(folder)
    return {row[0]: row[2:] for row in figure3.claims_table(found).rows}


HALF = "BN-Baseline matches Inception's best in less than half the steps"
FOURTEEN = "BN-x5 needs 14 times fewer steps than Inception"
SLOWER = "BN-x30 is slower at first than BN-x5"
FURTHER = "BN-x30 comes further than BN-x5"
SIGMOID = "BN-x5-Sigmoid trains, Inception with sigmoids does not"
CHANCE = "Inception with sigmoids stays at chance"
FAILS = "Inception at 5 times the learning rate fails"
SPARSE = "Activations are not sparse, neither with nor without BN"


def test_claims_that_our_runs_show(tmp_path):
    write(
        tmp_path,
        inception=(RISING, "finished", PLAIN),
        bn_baseline=([0.01, 0.1, 0.15, 0.25], "finished", {}),
        bn_x5=([0.01, 0.3, 0.35], "finished", {}),
        bn_x30=([0.01, 0.2, 0.45], "finished", {}),
        bn_x5_sigmoid=([0.01, 0.1], "finished", {}),
        inception_sigmoid=([0.01, 0.01], "finished", PLAIN),
        inception_x5=([0.01], "diverged", PLAIN),
    )
    shown = claims(tmp_path)
    assert shown[HALF] == [
        "after 750 of Inception's 3,000 steps: 4.0 times fewer (up to 6.0, between "
        "two evaluations)",
        "yes",
    ]
    assert shown[FOURTEEN] == [
        "after 250 of Inception's 3,000 steps: 12.0 times fewer (more, between two "
        "evaluations)",
        "not shown at this scale",
    ]
    assert shown[SLOWER] == [
        "at step 250, where BN-x5 reaches Inception's best: BN-x30 20.00 %, BN-x5 "
        "30.00 %",
        "yes",
    ]
    assert [shown[claim][1] for claim in (FURTHER, SIGMOID, CHANCE, FAILS)] == [
        "yes"
    ] * 4
    assert shown[FAILS][0] == "diverged at step 7"
    assert shown[SPARSE] == ["not recorded", "-"]


def test_claims_that_our_runs_contradict_tie_or_lack(tmp_path):
    write(
        tmp_path,
        inception=(RISING, "finished", PLAIN),
        bn_baseline=([0.01, *[0.05] * 12], "finished", {}),
        bn_x5=([0.01, 0.3, 0.35], "finished", {}),
        bn_x30=([0.01, 0.4, 0.36], "running", {}),
        inception_x5=([0.01, 0.2], "finished", PLAIN),
        inception_sigmoid=([0.01, 0.03], "finished", PLAIN),
    )
    shown = claims(tmp_path)
    assert shown[HALF] == ["BN-Baseline does not reach Inception's best", "no"]
    assert shown[SLOWER][1] == "unfinished"
    assert shown[SLOWER][0].endswith("BN-x5 30.00 % (so far: BN-x30 unfinished)")
    assert shown[SIGMOID] == ["no run bn_x5_sigmoid", "missing"]
    assert shown[CHANCE][1] == "no"
    assert shown[FAILS][0].startswith("trains: 20.00 ± 0.57 %")
    sample_runs.write_course(tmp_path / "again" / "bn_x5", [0.01, 0.35])
    sample_runs.write_course(tmp_path / "again" / "bn_x30", [0.01, 0.36])
    assert claims(tmp_path / "again")[FURTHER][1] == "not shown at this scale"


def test_zeros_are_the_median_over_layers_of_the_last_probe(tmp_path):
    writer = sample_runs.write_run(tmp_path / "bn", steps=1000)
    sample_runs.write_course(tmp_path / "bn", [0.1])
    layers = 3
    writer.append_activations(
        2000,
        {f"hidden_{i}": np.zeros((3, 20)) for i in range(1, layers + 1)},
        percentiles=(15, 50, 85),
        gradient_norm=np.zeros(layers),
        saturated=[0.1, 0.5, 0.25],
        input_histogram=np.zeros((layers, 8)),
        output_histogram=np.zeros((layers, 8)),
        input_range=np.zeros((layers, 2)),
        output_range=np.zeros((layers, 2)),
    )
    course = convergence.course(records.read_run(tmp_path / "bn"))
    assert figure3.zero_share(course) == 0.25
    sample_runs.write_course(tmp_path / "bn", [0.1], model__nonlinearity="sigmoid")
    course = convergence.course(records.read_run(tmp_path / "bn"))
    assert figure3.zero_share(course) is None


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
