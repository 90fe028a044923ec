import numpy as np

from bn_repro.analysis import convergence, figure3_claims, testing
from bn_repro.analysis.figure3_test import PLAIN, RISING, read, write
from bn_repro.run_folder import records


def claims(folder):
    found, _ = read(folder)
    return {row[0]: row[2:] for row in figure3_claims.claims_table(found).rows}


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
    testing.write_course(tmp_path / "again" / "bn_x5", [0.01, 0.35])
    testing.write_course(tmp_path / "again" / "bn_x30", [0.01, 0.36])
    assert claims(tmp_path / "again")[FURTHER][1] == "not shown at this scale"


def test_zeros_are_the_median_over_layers_of_the_last_probe(tmp_path):
    writer = testing.write_run(tmp_path / "bn", steps=1000)
    testing.write_course(tmp_path / "bn", [0.1])
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
    assert figure3_claims.zero_share(course) == 0.25
    testing.write_course(tmp_path / "bn", [0.1], model__nonlinearity="sigmoid")
    course = convergence.course(records.read_run(tmp_path / "bn"))
    assert figure3_claims.zero_share(course) is None
