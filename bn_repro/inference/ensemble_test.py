"""Each picture counts once, whatever the batches, devices, processes, interruptions."""

import json
import shutil
import sys
import types

import jax
import numpy as np
import pytest

from bn_repro import cli, data, loop, parallel
from bn_repro.errors import UserError
from bn_repro.evaluate_test import paper_logits
from bn_repro.inference import ensemble, members, population, predict, result, splits
from bn_repro.loop_test import run_together, short
from bn_repro.run_folder import checkpoint, files
from configs import common

UNRECORDED = {
    "steps": 40,
    "eval.batch_statistics": False,
    "eval.population_batches_during": 0,
    "probe.every": 0,
}
N = 203  # leaves a remainder at every batch size


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    names = {"bn": "bn", "plain": "plain_seed1"}
    for name, run in names.items():
        loop.run(short(run, **UNRECORDED), folder / name, jax.devices()[:1])
    return [
        members.load(folder / name, common.get_config(), {"data.limit": N})
        for name in names
    ]


def evaluate(networks, out, devices=1, statistics="ema", **options):
    mesh = parallel.make_mesh(jax.devices()[:devices])
    said = []
    options |= {"statistics": statistics, "say": said.append}
    row = ensemble.evaluate(networks, mesh, out, **options)
    return without_seconds(row), said


def without_seconds(row):
    assert row["seconds"] >= 0
    return {k: v for k, v in row.items() if k != "seconds"}


def paper_errors(networks, split):
    """The mean of the members' probabilities, in float64 numpy."""
    mean = 0
    for member in networks:
        power = np.exp(paper_logits(member.variables, split.images[:N]))
        mean = mean + power / power.sum(1, keepdims=True) / len(networks)
    rank = (mean > mean[np.arange(N), split.labels[:N]][:, None]).sum(1)
    own = mean[np.arange(N), split.labels[:N]]
    return (rank >= 1).mean(), (rank >= 5).mean(), -np.log(own).mean()


@pytest.mark.parametrize("number", [1, 2])
def test_errors_are_of_the_mean_of_probabilities(networks, tmp_path, number):
    row, said = evaluate(networks[:number], tmp_path)
    test = data.load(networks[0].config.data).test
    top1, top5, loss = paper_errors(networks[:number], test)
    assert row["count"] == N
    assert (row["top1_error"], row["top5_error"]) == pytest.approx((top1, top5))
    assert row["loss"] == pytest.approx(loss, rel=1e-5)
    assert f"= {N * number:,} forward passes" in said[0]
    file = "evaluation_test_ema_1crops_1member.json"
    if number == 2:
        file = "evaluation_test_ema_1crops_2members.json"
    assert files.read_json(tmp_path / file)["top1_error"] == row["top1_error"]
    assert not (tmp_path / ensemble.PARTS).exists()


@pytest.mark.parametrize(("devices", "batch_size"), [(1, 1), (1, 60), (8, 64), (8, 3)])
def test_counts_do_not_depend_on_batches_and_devices(
    networks, tmp_path, devices, batch_size
):
    whole, _ = evaluate(networks, tmp_path)
    row, _ = evaluate(networks, tmp_path, devices, batch_size=batch_size)
    assert row.pop("loss") == pytest.approx(whole.pop("loss"), rel=1e-5)
    assert row == whole


def test_an_interrupted_evaluation_goes_on(networks, tmp_path, monkeypatch):
    whole, _ = evaluate(networks, tmp_path / "whole", batch_size=20)
    monkeypatch.setattr(predict, "SAVE_EVERY", 0.0)
    seen = []
    clock = types.SimpleNamespace(monotonic=lambda: float(len(seen)))
    monkeypatch.setattr(predict, "time", clock)  # a batch takes a second

    def stop(*args):
        if len(seen) == 13:  # in the second member: 203 pictures are 11 batches of 20
            raise KeyboardInterrupt
        seen.append(args)
        return gathered(*args)

    gathered = predict._gathered
    monkeypatch.setattr(predict, "_gathered", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(networks, tmp_path / "cut", batch_size=20)
    parts = sorted((tmp_path / "cut" / ensemble.PARTS).glob("*.npz"))
    assert len(parts) == 2
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:-100])
    with pytest.raises(UserError, match=f"{parts[1].name} is damaged: .*; remove it"):
        evaluate(networks, tmp_path / "cut", batch_size=20)
    parts[1].write_bytes(content)
    seen.clear()
    row, _ = evaluate(networks, tmp_path / "cut", batch_size=20)
    assert len(seen) == 11 - 2  # of the second member; the first was done
    assert row == whole
    file = tmp_path / "cut" / "evaluation_test_ema_1crops_2members.json"
    assert files.read_json(file)["seconds"] == 11 + 11


def test_saved_probabilities_make_the_same_ensemble(networks, tmp_path):
    for member in networks:
        evaluate([member], tmp_path, save_probabilities=True)
    whole, _ = evaluate(networks, tmp_path)
    paths = sorted(tmp_path.glob("probabilities_*.npz"))
    row = ensemble.combine(paths, tmp_path)
    assert without_seconds(row) == whole
    copied = shutil.copy(paths[0], tmp_path / "copied.npz")
    for twice in (paths[0], copied):
        with pytest.raises(UserError) as caught:
            ensemble.combine([*paths, twice], tmp_path)
        assert str(caught.value) == (
            f"{twice} and {paths[0]} are of one network, bn, which would count twice; "
            "name it once"
        )
    other = checkpoint.read(paths[0])
    other["mask"][:3] = False
    earlier = json.loads(str(other["about"]))
    del earlier["weights"], earlier["seconds"]  # as they were saved at first
    checkpoint.write(
        tmp_path / "other.npz", other | {"about": np.array(json.dumps(earlier))}
    )
    row = ensemble.combine([paths[1], tmp_path / "other.npz"], tmp_path / "masked")
    assert (row["undecodable"], row["count"]) == (3, N - 3)  # by the second alone
    (written,) = (tmp_path / "masked").glob("evaluation_*.json")
    assert files.read_json(written)["seconds"] is None  # the second's are not known
    with pytest.raises(UserError, match="other.npz and .*other.npz are of one network"):
        ensemble.combine([tmp_path / "other.npz"] * 2, tmp_path)
    other = checkpoint.read(paths[0])
    other["labels"] = other["labels"][::-1]
    checkpoint.write(tmp_path / "other.npz", other)
    with pytest.raises(UserError, match="other.npz is of other pictures or classes"):
        ensemble.combine([*paths, tmp_path / "other.npz"], tmp_path)
    other = checkpoint.read(paths[0])
    other["probabilities"] = other["probabilities"][:, :9]
    checkpoint.write(tmp_path / "other.npz", other)
    with pytest.raises(UserError, match="other.npz is of other pictures or classes"):
        ensemble.combine([*paths, tmp_path / "other.npz"], tmp_path)
    about = np.array(str(other["about"]).replace('"crops": 1', '"crops": 10'))
    checkpoint.write(tmp_path / "other.npz", other | {"about": about})
    with pytest.raises(UserError, match="other.npz is of crops 10, but .* of 1"):
        ensemble.combine([*paths, tmp_path / "other.npz"], tmp_path)
    del other["about"]
    checkpoint.write(tmp_path / "other.npz", other)
    with pytest.raises(UserError, match="other.npz does not hold saved"):
        ensemble.combine([tmp_path / "other.npz"], tmp_path)
    with pytest.raises(UserError, match="weights.npz does not hold saved"):
        ensemble.combine([networks[0].path / "weights.npz"], tmp_path)


def test_other_pictures_with_the_same_labels_are_refused(
    networks, tmp_path, monkeypatch
):
    def looks_at(which):
        def open_split(*asked):
            split = splits.open_split(*asked)
            return split._replace(pictures=lambda: which[id(asked[0])])

        monkeypatch.setattr(ensemble, "open_split", open_split)

    mine, other = (id(member.config) for member in networks)
    looks_at({mine: "a", other: "a"})
    for member in networks:
        evaluate([member], tmp_path / "a", save_probabilities=True)
    ensemble.combine([*(tmp_path / "a").glob("*.npz")], tmp_path)
    looks_at({mine: "a", other: "b"})
    monkeypatch.setattr(ensemble, "_place", id)  # of one place they are looked at once
    with pytest.raises(UserError, match="plain is of other pictures than .*/bn; memb"):
        evaluate(networks, tmp_path)
    evaluate(networks[1:], tmp_path / "b", save_probabilities=True)
    paths = [*(tmp_path / "a").glob("*bn*.npz"), *(tmp_path / "b").glob("*.npz")]
    with pytest.raises(UserError, match="plain.*npz is of other pictures or classes"):
        ensemble.combine(paths, tmp_path)


def test_a_limit_is_of_the_evaluated_pictures_alone(networks, tmp_path):
    bn = shutil.copytree(networks[0].path, tmp_path / "bn")
    member = members.load(bn, common.get_config(), {"eval.population_batches": 2})
    whole = population.variables_of(member, parallel.make_mesh(jax.devices()[:1]))
    (bn / "population_2.npz").unlink()
    options = {"statistics": "population", "limit": 20}
    row, _ = evaluate([member], tmp_path / "out", **options)
    assert row["count"] == 20
    kept = checkpoint.read(bn / "population_2.npz")
    for name, leaf in checkpoint.arrays_of(
        {"batch_stats": whole["batch_stats"]}
    ).items():
        np.testing.assert_array_equal(leaf, kept[name])
    with pytest.raises(UserError, match="limit is -3; it must be at least 0"):
        evaluate([member], tmp_path / "out", limit=-3)


def test_a_folder_that_cannot_be_written_is_refused_first(
    networks, tmp_path, monkeypatch
):
    monkeypatch.setattr(predict, "predict", None)  # before any work
    monkeypatch.setattr(result.os, "access", lambda *_: False)  # root may write
    message = f"cannot write {tmp_path}: no permission; name another .* --out"
    with pytest.raises(UserError, match=message):
        evaluate(networks, tmp_path)


def test_outputs_that_are_not_finite_are_refused(networks, tmp_path):
    variables = jax.tree.map(lambda x: np.full_like(x, 3e38), networks[1].variables)
    diverged = networks[1]._replace(variables=variables)
    with pytest.raises(UserError, match="plain: the probabilities of 203 of 203 pict"):
        evaluate([networks[0], diverged], tmp_path)
    assert not list(tmp_path.glob("evaluation_*.json"))


def test_members_of_equal_folder_names_are_told_apart(networks, tmp_path):
    runs = []
    for seed, network in enumerate(networks):
        path = shutil.copytree(network.path, tmp_path / f"seed{seed}" / "run")
        runs.append(network._replace(name="run", path=path))
    row, _ = evaluate(runs, tmp_path, save_probabilities=True)
    assert row["members"] == ["seed0/run", "seed1/run"]
    paths = sorted(tmp_path.glob("probabilities_*.npz"))
    assert [path.name for path in paths] == [
        f"probabilities_seed{seed}_run_test_ema_1.npz" for seed in (0, 1)
    ]
    again = ensemble.combine(paths, tmp_path)
    assert again["loss"] == pytest.approx(row["loss"])
    copied = runs[0]._replace(path=tmp_path / "copy" / "run")
    with pytest.raises(UserError, match="copy/run and .*seed0/run are of one network"):
        evaluate([runs[0], copied], tmp_path)
    with pytest.raises(UserError, match="run is named twice"):
        evaluate([runs[0], runs[0]], tmp_path)


def test_results_and_parts_of_other_evaluations_stay(networks, tmp_path):
    other = tmp_path / ensemble.PARTS / "other.npz"
    other.parent.mkdir()
    other.write_bytes(b"under way")
    rows = [evaluate([member], tmp_path)[0] for member in (*networks, networks[1])]
    assert other.read_bytes() == b"under way"
    assert len(list(other.parent.iterdir())) == 1
    kept = [files.read_json(f) for f in sorted(tmp_path.glob("evaluation_*.json"))]
    assert [row["members"] for row in kept] == [["bn"], ["plain"]]
    assert [row["loss"] for row in kept] == [row["loss"] for row in rows[:2]]


def test_other_weights_do_not_go_on_from_saved_parts(networks, tmp_path):
    plain = networks[1]
    changed = jax.tree.map(lambda x: -x, plain.variables)
    keys = {
        ensemble._key(member, splits.open_split(member.config), "ema")
        for member in (plain, plain._replace(variables=changed))
    }
    assert len(keys) == 2


def test_other_statistics_do_not_go_on_from_saved_parts(
    networks, tmp_path, monkeypatch
):
    monkeypatch.setattr(ensemble, "_remove", lambda parts: None)  # as if interrupted
    variables = dict(networks[0].variables)
    monkeypatch.setattr(population, "variables_of", lambda *_: variables)
    options = {"statistics": "population"}
    first, _ = evaluate(networks[:1], tmp_path, **options)
    estimated = variables["batch_stats"]  # then on other devices, or from other data
    variables["batch_stats"] = jax.tree.map(lambda x: x + 1, estimated)
    other, _ = evaluate(networks[:1], tmp_path, **options)
    assert other["loss"] != first["loss"]
    variables["batch_stats"] = estimated
    assert evaluate(networks[:1], tmp_path, **options)[0] == first
    assert len(list((tmp_path / ensemble.PARTS).iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_name": "val"}, "bn: there is no split 'val'; use one of test, train"),
        ({"crops": 10}, "bn: crops is 10; mnist is evaluated with 1 view a picture"),
        ({"statistics": "mean"}, "statistics is 'mean'; use one of ema, population"),
    ],
)
def test_bad_requests_end_in_one_line(networks, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        evaluate(networks, tmp_path, **options)


def test_a_class_count_that_does_not_match_is_refused(networks, tmp_path):
    config = networks[0].config.copy_and_resolve_references()
    with config.unlocked():
        config.data.classes = 11
    with pytest.raises(UserError, match="bn: the network has 11 classes, but .* 10"):
        evaluate([networks[0]._replace(config=config)], tmp_path)


@pytest.mark.slow
def test_two_processes_count_as_one_does(networks, tmp_path):
    paths = ",".join(str(member.path) for member in networks)
    command = [sys.executable, str(cli.ROOT / "scripts" / "evaluate.py")]
    command += [f"--workdir={tmp_path}", f"--members={paths}", f"--limit={N}"]
    run_together([*command, "--statistics=ema", "--batch_size=20"])
    row = files.read_json(tmp_path / "evaluation_test_ema_1crops_2members.json")
    alone, _ = evaluate(networks, tmp_path / "alone")
    for key in ("count", "top1_error", "top5_error"):
        assert row[key] == alone[key]
