import math

import numpy as np
import pytest

from bn_repro.analysis import networks, testing
from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter

PLAIN = {"model__norm": "none"}


def find(folder):
    """Returns key -> network of the runs below a folder."""
    found, _ = networks.find(records.find_runs(folder))
    return {network.key: network for network in found}


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """The networks of configs/tiny_imagenet.py, all seeds."""
    return find(testing.write_networks(tmp_path_factory.mktemp("family")))


def test_seeds_are_put_together_whatever_their_length(family):
    assert {key: len(network.courses) for key, network in family.items()} == {
        "inception": 3,
        "bn_baseline": 3,
        "bn_x5": 5,
        "bn_x30": 5,
        "bn_x5_sigmoid": 5,
        "inception_x5": 3,
        "inception_sigmoid": 3,
    }
    assert family["inception_sigmoid"].steps == 16_000  # seeds 1 and 2: 5,000
    assert family["inception"].steps == 80_000
    assert list(family) == list(testing.NETWORKS)  # the paper's order


def test_the_accuracy_at_the_end_is_the_mean_over_seeds_of_the_last_five(family):
    network = family["inception"]
    ends = [course.accuracy[-5:].mean() for course in network.courses]
    np.testing.assert_allclose(network.ends, ends)
    assert network.plateau == pytest.approx(np.mean(ends))
    curve = network.curve()
    assert curve.steps[-1] == 80_000
    np.testing.assert_allclose(
        curve.high[-1], max(course.accuracy[-1] for course in network.courses)
    )


def test_statistics_are_algorithm_2s_where_every_seed_has_them(family, tmp_path):
    assert family["bn_x5"].statistics == "population"
    assert family["inception"].statistics == "none"
    both = ("ema", "population")
    testing.write_course(tmp_path / "bn_x5_seed0", [0.1, 0.2], statistics=both)
    testing.write_course(tmp_path / "bn_x5_seed1", [0.1, 0.3], seed=1)
    network = find(tmp_path)["bn_x5"]
    assert network.statistics == "ema"
    assert [course.best for course in network.courses] == [0.2, 0.3]


@pytest.mark.parametrize("last", [[], [0.1, 0.2]])
def test_a_seed_cut_between_the_two_leaves_the_others_algorithm_2(tmp_path, last):
    both = ("ema", "population")
    testing.write_course(tmp_path / "bn_x5_seed0", [0.1, 0.2], statistics=both)
    cut = tmp_path / "bn_x5_seed1"
    testing.write_course(cut, last, "interrupted", seed=1, statistics=both)
    row = {"split": "val", "statistics": "ema", "accuracy": 0.3, "count": 5000}
    RunWriter(cut).append_metrics({"step": 750, "loss": 1.0} | row)
    assert find(tmp_path)["bn_x5"].statistics == "population"
    testing.write_course(cut, [0.1, 0.2], "finished", seed=1, statistics=both)
    RunWriter(cut).append_metrics({"step": 750, "loss": 1.0} | row)
    assert find(tmp_path)["bn_x5"].statistics == "ema"


def test_names_decide_only_where_a_seed_comes_twice(tmp_path):
    for seed, name in enumerate(("first", "second")):
        testing.write_course(tmp_path / name, [0.1], seed=seed)
    assert [len(network.courses) for network in find(tmp_path).values()] == [2]
    testing.write_course(tmp_path / "third", [0.1], seed=1)
    assert [len(network.courses) for network in find(tmp_path).values()] == [1, 1, 1]


def test_where_the_data_lay_is_no_difference(tmp_path):
    for seed, name in enumerate(("here", "there")):
        path = tmp_path / name
        testing.write_course(path, [0.1], seed=seed, data__train=f"/{name}/a.tar")
    assert len(find(tmp_path)["here"].courses) == 2


def test_runs_of_another_scale_are_left_out_and_the_order_is_the_papers(tmp_path):
    for name in ("bn_x30", "another", "bn_baseline", "inception"):
        testing.write_course(tmp_path / name, [0.1])
    testing.write_course(tmp_path / "wide", [0.9], model__width=1.0)
    found, left_out = networks.find(records.find_runs(tmp_path))
    labels = [network.label for network in found]
    assert labels == ["Inception", "BN-Baseline", "BN-x30", "another"]
    assert [run.name for run in left_out] == ["wide"]


def test_unfinished_seeds_wait_and_diverged_ones_have_no_end(tmp_path):
    for seed, (value, status) in enumerate(
        [(0.2, "finished"), (0.3, "running"), (0.4, "diverged"), (0.3, "finished")]
    ):
        path = tmp_path / f"bn_x5_seed{seed}"
        testing.write_course(path, [value] * 5, status, seed=seed)
    network = find(tmp_path)["bn_x5"]
    np.testing.assert_allclose(network.ends, [0.2, 0.3])
    assert (len(network.counted), len(network.diverged)) == (3, 1)
    assert not network.ended
    assert networks.find_goal([network]).text() == (
        "25.00 %, the plateau of BN-x5 so far (mean of the last 5 evaluations over 2 "
        "seeds)"
    )


def test_the_typical_seed_is_one_that_ended(tmp_path):
    testing.write_run(tmp_path / "bn_x5_seed0", "before", 0, 1500, "running", 1000)
    for seed in (1, 2, 3):
        testing.write_run(tmp_path / f"bn_x5_seed{seed}", "before", seed, 1500)
    runs = records.find_runs(tmp_path)
    drifts = [drift.layer_scores(run.activations)[0, -1, 0] for run in runs[1:]]
    middle = runs[1:][int(np.argsort(drifts)[1])]
    (network,) = networks.together(runs)
    assert network.typical.name == middle.name
    RunWriter(tmp_path / middle.name).write_status("diverged", 1450)
    (network,) = networks.together(records.find_runs(tmp_path))
    assert network.typical.name not in ("bn_x5_seed0", middle.name)


def test_the_goal_is_inceptions_plateau_unless_told(tmp_path):
    for seed, best in enumerate((0.1, 0.3)):
        path = tmp_path / f"inception_seed{seed}"
        testing.write_course(path, [best] * 6, seed=seed, **PLAIN)
    for name, best in (("plain_a", 0.2), ("plain_b", 0.25)):
        testing.write_course(tmp_path / name, [best], **PLAIN)
    testing.write_course(tmp_path / "bn_x5_seed0", [0.4])
    found = list(find(tmp_path).values())
    assert networks.find_goal(found).text() == (
        "20.00 %, the plateau of Inception (mean of the last 5 evaluations over 2 "
        "seeds)"
    )
    for name in ("bn_x5", "BN-x5", "bn_x5_seed0"):
        assert networks.find_goal(found, name).accuracy == 0.4
    assert networks.find_goal(found, 0.25) == (0.25, None)
    others = [network for network in found if network.key != "inception"]
    assert networks.find_goal(others).name == "plain_b"
    assert math.isnan(networks.find_goal([]).accuracy)
    with pytest.raises(UserError, match="no run 'bn_x6' .* there are inception, bn_x5"):
        networks.find_goal(found, "bn_x6")
    with pytest.raises(UserError, match="target is 72.2; it must be a fraction"):
        networks.find_goal(found, 72.2)


def test_a_network_that_diverged_is_no_goal_unless_asked_for(tmp_path):
    testing.write_course(tmp_path / "inception", [0.3], "diverged", **PLAIN)
    testing.write_course(tmp_path / "inception_x5", [0.2], **PLAIN)
    found = list(find(tmp_path).values())
    assert networks.find_goal(found).name == "Inception-x5"
    assert math.isnan(networks.find_goal(found, "inception").accuracy)


def test_given_networks_are_paired_by_their_first_common_seed(
    family, tmp_path, monkeypatch
):
    seed, pair = networks.paired(family["bn_x5"], family["inception"])
    ours, theirs = (
        family[key].courses[0].run.hits[name][-1]
        for key, name in (("bn_x5", "val/population"), ("inception", "val/ema"))
    )
    assert seed == 0
    assert pair.only_first == np.sum(ours & ~theirs)
    assert pair.only_second == np.sum(theirs & ~ours)
    with monkeypatch.context() as patch:
        for key in ("bn_x5", "inception"):
            for course in family[key].courses:
                others = {"data_sha256": {"val": key}}
                patch.setattr(course.run, "manifest", course.run.manifest | others)
        assert networks.paired(family["bn_x5"], family["inception"]) is None
    testing.write_course(tmp_path / "bn_x5", [0.1])  # without hits
    assert networks.paired(find(tmp_path)["bn_x5"], family["inception"]) is None
