import shutil

import numpy as np
import pytest

from bn_repro.analysis import (
    convergence,
    figure3_claims,
    intervals,
    networks,
    steps_to_target,
    testing,
)
from bn_repro.analysis.figure3_test import LEVEL, PLAIN, read, write
from bn_repro.analysis.layers import sparsity
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter

HALF = "BN-Baseline matches Inception in less than half the steps"
FEWER = "BN-x5 matches Inception in fewer steps"
FOURTEEN = "BN-x5 matches Inception in 14 times fewer steps"
FIVE = "BN-x30 passes Inception in 5 times fewer steps"
SLOWER = "BN-x30 is slower at first than BN-x5"
FURTHER = "BN-x30 comes further than BN-x5"
ENDS = [
    f"{name} comes further than Inception"
    for name in ("BN-Baseline", "BN-x5", "BN-x30")
]
ENDS += ["BN-x5 comes further than BN-x5-Sigmoid"]
TRAINS = "Sigmoids train with BN (BN-x5-Sigmoid)"
CHANCE = "Sigmoids do not train without BN (Inception-Sigmoid)"
FAILS = "Inception fails at 5 times the learning rate (Inception-x5)"
SOUND = ("finished", {})
SPARSE = "Inputs to the nonlinearities are not sparse, with or without BN"


def claims(folder):
    """Returns claim -> Finding of the runs below a folder."""
    found, _ = read(folder)
    table = figure3_claims.claims_table(found)
    return {row[0]: intervals.Finding(*row[2:]) for row in table.rows}


def verdicts(folder):
    return {text: found.verdict for text, found in claims(folder).items()}


def test_claims_about_simulated_seeds(tmp_path):
    testing.write_networks(tmp_path)
    shown = claims(tmp_path)
    assert {text: found.verdict for text, found in shown.items()} == {
        HALF: "yes",
        FEWER: "yes",
        FOURTEEN: "yes",
        FIVE: "yes",
        **dict.fromkeys(ENDS, "yes"),
        SLOWER: "yes",
        FURTHER: "yes",
        TRAINS: "yes",
        CHANCE: "yes",
        FAILS: "no",
        SPARSE: "not decided",
    }
    by_key = {network.key: network for network in read(tmp_path)[0]}
    slow, fast = by_key["inception"], by_key["bn_x5"]
    needed = [
        steps_to_target.count(n.courses, slow.plateau).needed for n in (slow, fast)
    ]
    found = intervals.ratio(*needed)
    assert shown[FOURTEEN].interval == f"{found.low:.1f} to {found.high:.1f}"
    assert shown[FOURTEEN].ours.startswith(f"{found.estimate:.1f} times fewer: Incep")
    assert shown[FOURTEEN].n == "3, 5" and shown[HALF].n == "3"
    assert shown[FAILS].ours.startswith("0 of 3 seeds fail; ")
    assert shown[FAILS].interval == "0 to 71 % of seeds"
    assert shown[SPARSE].ours == "not recorded"


def level(plateau, *shifts):
    """Returns accuracies that rise to a plateau, a seed for each shift of it."""
    return [[x * (plateau + shift) / 0.2 for x in LEVEL] for shift in shifts]


def test_claims_that_seeds_contradict(tmp_path):
    two = (0, 0.002)
    write(
        tmp_path,
        inception=(level(0.2, *two), "finished", PLAIN),
        bn_baseline=(level(0.2, *two), "finished", {}),
        bn_x5=(level(0.1, *two), "finished", {}),
        bn_x30=(level(0.05, *two), "finished", {}),
        bn_x5_sigmoid=(level(0.01, 0, 0.0001), "finished", {}),
        inception_sigmoid=(level(0.1, *two), "finished", PLAIN),
        inception_x5=(level(0.01, *two), "finished", PLAIN),
    )
    shown = claims(tmp_path)
    assert [shown[text].verdict for text in (FOURTEEN, FURTHER, TRAINS, CHANCE)] == [
        "no"
    ] * 4
    assert shown[FOURTEEN].ours.endswith("BN-x5 not within 2,250 steps")
    assert shown[FOURTEEN].interval.endswith(" points at the end")
    # Looked at for as long as Inception: no. For a shorter time: it might still come.
    assert shown[FEWER].verdict == "no"
    for seed in range(2):
        path = tmp_path / f"bn_x5_seed{seed}"
        testing.write_course(path, level(0.1, *two)[seed][:7], seed=seed)
    assert claims(tmp_path)[FEWER].verdict == "not decided"
    assert shown[FAILS].verdict == "yes"
    assert shown[FAILS].ours.startswith("2 of 2 seeds fail; 1.10 ± 0.14 % at the end")


def test_claims_that_are_not_decided(tmp_path):
    write(
        tmp_path,
        inception=(level(0.2, 0, 0.01), "finished", PLAIN),
        bn_x5=(level(0.3, 0, 0.01), "finished", {}),
        bn_x30=(level(0.3, 0, 0.012), "finished", {}),
    )
    for seed, status in enumerate(("diverged", "finished")):
        path = tmp_path / f"inception_x5_seed{seed}"
        testing.write_course(path, level(0.2, 0)[0], status, seed=seed, **PLAIN)
    shown = claims(tmp_path)
    assert shown[FURTHER].verdict == shown[FAILS].verdict == "not decided"
    assert shown[FURTHER].interval.endswith(" points")
    assert shown[FAILS].ours == (
        "1 of 2 seeds fail; diverged at step 2,257; 20.00 % at the end, chance is 1 %"
    )
    assert shown[HALF] == ("no run of bn_baseline", "-", "-", "missing")


def test_one_seed_decides_nothing_and_unfinished_ones_are_told(tmp_path):
    write(
        tmp_path,
        inception=(level(0.2, 0), "finished", PLAIN),
        bn_x5=(level(0.3, 0), "finished", {}),
        bn_x30=(level(0.4, 0, 0.001), "running", {}),
        inception_x5=(level(0.01, 0), "diverged", PLAIN),
    )
    shown = claims(tmp_path)
    assert shown[FEWER].verdict == shown[FAILS].verdict == "not decided"
    assert (shown[FEWER].n, shown[FEWER].interval) == ("1", "-")
    assert shown[FURTHER].verdict == "unfinished"
    assert shown[FURTHER].ours.endswith("(so far: BN-x30 unfinished)")


@pytest.mark.parametrize(
    ("plateau", "furthest"), [(0.3, 100), (0.19, 90), (0.16, 75), (0.09, 50)]
)
def test_slower_at_first_is_decided_as_far_as_all_seeds_come(
    tmp_path, plateau, furthest
):
    fast = level(plateau, 0, 0.001)
    slow = [[0.01, 0.015, *seed[1:]] for seed in fast]
    write(
        tmp_path,
        inception=(level(0.2, 0, 0.01), "finished", PLAIN),
        bn_x5=(fast, "finished", {}),
        bn_x30=(slow, "finished", {}),
    )
    shown = claims(tmp_path)[SLOWER]
    assert shown.ours.endswith(f" to {furthest:g} % of Inception's plateau")
    assert shown.verdict == ("yes" if furthest > 50 else "not decided")
    shutil.rmtree(tmp_path / "inception_seed1")  # one names an accuracy as well
    assert claims(tmp_path)[SLOWER].verdict == shown.verdict
    shutil.rmtree(tmp_path / "bn_x30_seed1")
    assert claims(tmp_path)[SLOWER].verdict == "not decided"


def test_a_target_at_chance_decides_nothing(tmp_path):
    write(
        tmp_path,
        inception=(level(0.01, 0, 0.0001), "finished", PLAIN),
        bn_x5=(level(0.3, 0, 0.01), "finished", {}),
        bn_x30=(level(0.2, 0, 0.01), "finished", {}),
    )
    shown = claims(tmp_path)
    for text in (FEWER, SLOWER):
        assert shown[text][0::3] == ("Inception stays at chance", "not decided")


def test_a_target_that_diverged_is_said_to_have_diverged(tmp_path):
    write(
        tmp_path,
        inception=([[0.01, 0.05, 0.06]] * 2, "diverged", PLAIN),
        bn_x5=(level(0.3, 0, 0.01), "finished", {}),
    )
    assert claims(tmp_path)[FEWER][0::3] == (
        "Inception: diverged at step 507; diverged at step 507",
        "not decided",
    )


def test_a_network_without_an_accuracy_neither_fails_nor_trains(tmp_path):
    write(tmp_path, inception_x5=([[], []], "finished", PLAIN))
    write(tmp_path, bn_x5_sigmoid=([[], []], *SOUND))
    shown = claims(tmp_path)
    for text in (FAILS, TRAINS):
        assert shown[text].verdict == "not decided"
        assert shown[text].ours.endswith("no evaluation")


def test_ends_are_of_the_longest_seeds(tmp_path):
    long, short = level(0.3, 0)[0], level(0.1, 0)[0][:6]
    for name, values in (("inception", PLAIN), ("bn_x5", {}), ("bn_x30", {})):
        for seed, accuracies in enumerate((long, long, short)):
            path, steps = tmp_path / f"{name}_seed{seed}", 250 * len(accuracies)
            testing.write_course(path, accuracies, seed=seed, steps=steps, **values)
    found, goal = read(tmp_path)
    assert goal.accuracy == pytest.approx(0.3) and "over 2 seeds" in goal.text()
    assert claims(tmp_path)[FURTHER].n == "2"
    text = "BN-x30 30.00 ± 0.00 % (2 of 3 seeds); BN-x5 30.00 ± 0.00 % (2 of 3 seeds)"
    assert claims(tmp_path)[FURTHER].ours == text


def test_networks_of_one_name_are_told_apart_and_decide_nothing(tmp_path):
    for folder, rate in (("one", 0.1), ("two", 0.2)):
        values = PLAIN | {"optimizer__learning_rate": rate}
        write(tmp_path / folder, inception=(level(0.2, 0, 0.01), "finished", values))
    write(tmp_path / "one", bn_baseline=(level(0.3, 0, 0.01), *SOUND))
    labels = [network.label for network in read(tmp_path)[0]]
    assert labels[:2] == ["one/inception", "two/inception"]
    assert claims(tmp_path)[HALF] == (
        "several of one name: one/inception, two/inception",
        *("-", "-", "not decided"),
    )


def with_probe(path, shares, seed=0, **overrides):
    """Writes a run with one probe: in each layer a share of the inputs is zero."""
    rng = np.random.default_rng(seed)
    histograms, ranges = [], []
    for share in shares:
        x = rng.normal(size=20_000)
        x[: int(share * x.size)] = 0
        histograms.append(np.histogram(x, 20, (-4, 4.1))[0] / x.size)
        ranges.append([-4, 4.1])
    testing.write_course(path, [0.2] * 5, seed=seed, **overrides)
    layers = len(shares)
    RunWriter(path).append_activations(
        2000,
        {f"hidden_{i}": np.zeros((3, 20)) for i in range(1, layers + 1)},
        percentiles=(15, 50, 85),
        saturated=np.full(layers, 0.5),  # of ReLU's outputs, whatever its inputs
        input_histogram=np.array(histograms),
        input_range=np.array(ranges),
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_inputs_at_zero_are_the_median_over_layers_of_the_excess(tmp_path, share):
    with_probe(tmp_path / "bn", [0.0, share, 1.0])
    run = records.read_run(tmp_path / "bn")
    assert sparsity.zero_share(run) == pytest.approx(share, abs=0.02)


def test_ranges_that_end_at_zero_or_leave_it_out():
    share = sparsity._zero_share
    assert share(np.array([0.6, 0.2, 0.2]), np.array([0.0, 3.0])) == pytest.approx(0.4)
    assert share(np.array([0.2, 0.2, 0.6]), np.array([-3.0, 0.0])) == pytest.approx(0.4)
    assert share(np.array([0.6, 0.2, 0.2]), np.array([1.0, 3.0])) == 0
    assert share(np.array([1.0, 0.0]), np.array([0.0, 0.0])) == 1  # all are zero
    assert share(np.array([1.0, 0.0]), np.array([2.0, 2.0])) == 0
    # Zero on the edge of two bins: whichever of them holds it.
    edge = np.array([-2.0, 2.0])
    assert share(np.array([0.1, 0.1, 0.7, 0.1]), edge) == pytest.approx(0.6)
    assert share(np.array([0.1, 0.7, 0.1, 0.1]), edge) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("inception", "verdict"), [(0.0, "yes"), (0.3, "not decided"), (0.7, "no")]
)
def test_sparsity_is_a_claim_about_inputs(tmp_path, inception, verdict):
    for name, share, overrides in (
        ("inception", inception, PLAIN),
        ("bn_baseline", 0.0, {}),
    ):
        for seed in range(3):
            path = tmp_path / f"{name}_seed{seed}"
            with_probe(path, [share] * 3, seed, **overrides)
    found = claims(tmp_path)[SPARSE]
    assert (found.verdict, found.n) == (verdict, "3")
    assert found.ours.startswith("inputs at zero: Inception ")
    assert found.interval.count(" to ") == 2


def test_the_claims_need_no_run_but_their_own():
    for claim in figure3_claims.CLAIMS:
        assert figure3_claims.answer(claim, []).verdict == "missing"
        assert set(claim.networks) <= set(convergence.PAPER)
    assert networks.find([]) == ([], [])


def test_networks_that_diverge_do_not_train(tmp_path):
    write(
        tmp_path,
        inception=(level(0.2, 0, 0.01), "finished", PLAIN),
        bn_x5_sigmoid=(level(0.3, 0, 0.01), "diverged", {}),
    )
    assert claims(tmp_path)[TRAINS].verdict == "no"


def test_two_late_seeds_of_a_network_that_comes_as_far_refute_nothing(tmp_path):
    early, late = level(0.2, 0.05, 0.2)
    write(
        tmp_path,
        inception=(level(0.2, 0, 0), "finished", PLAIN),
        bn_baseline=([early, late], "finished", {}),
    )
    assert claims(tmp_path)[HALF].verdict == "not decided"


def test_of_seeds_that_disagree_those_that_are_left_decide_nothing(tmp_path):
    three = level(0.3, 0, 0.001, 0.002)
    write(
        tmp_path,
        bn_x5=(level(0.2, 0, 0.001, 0.002), "finished", {}),
        bn_x30=(three, "finished", {}),
        bn_x5_sigmoid=(three, "finished", {}),
    )
    assert [verdicts(tmp_path)[text] for text in (FURTHER, TRAINS)] == ["yes"] * 2
    for name in ("bn_x30", "bn_x5_sigmoid"):
        path = tmp_path / f"{name}_seed3"
        testing.write_course(path, three[0][:4], "diverged", seed=3)
    shown = claims(tmp_path)
    assert [shown[text].verdict for text in (FURTHER, TRAINS)] == ["not decided"] * 2
    assert shown[FURTHER].n == "3"  # those that the interval is of
    assert shown[FURTHER].ours.endswith("; BN-x30: diverged at step 757")
