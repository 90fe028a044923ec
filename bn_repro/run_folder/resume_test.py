"""What a folder lacks is said, nothing foreign is taken, the rest is bit for bit."""

import json
import os
import shutil

import jax
import numpy as np
import pytest

from bn_repro import loop, parallel, resolve, start, under_way
from bn_repro.errors import UserError
from bn_repro.loop_test import StopAt, assert_same, content, run_here, short
from bn_repro.run_folder import checkpoint, files, records, resume, seen
from bn_repro.run_folder.lock_test import holder
from bn_repro.run_folder.writer import RunWriter


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns the folder of an uninterrupted run of 60 steps."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert run_here(short(), workdir) == "finished"
    return workdir


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Returns the folder of one that was stopped after step 40."""
    workdir = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parallel, "Preemption", lambda: StopAt(7))
        assert run_here(short(), workdir) == "interrupted"
    assert checkpoint.steps(workdir) == [40, 25]
    return workdir


@pytest.fixture
def half(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "half")


@pytest.fixture
def full(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "full")


def refused(message, workdir, **arguments):
    before = {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
    config = arguments.pop("config", short())
    with pytest.raises(UserError, match=message) as caught:
        loop.run(config, workdir, jax.devices()[:1], **arguments)
    assert "\n" not in str(caught.value)
    assert before == {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}


def test_a_run_that_another_process_writes_is_refused(half):
    process = holder(half, "flock")
    with pytest.raises(UserError, match=f"is being written by process {process.pid}"):
        run_here(short(), half)
    process.communicate("")


def test_mini_batches_of_a_device_stay_what_they_are(tmp_path):
    """From 60 examples they became 30, without a word."""
    shorter = {"bn.batch": "device", "steps": 5, "eval.batch_statistics": False}
    shorter |= {"eval.population_batches_during": 0, "probe.every": 0}
    assert run_here(short(**shorter), tmp_path / "run") == "finished"
    longer = short(**shorter | {"steps": 10})
    with pytest.raises(UserError, match="trained on 1 devices, now there are 2"):
        loop.run(longer, tmp_path / "run", jax.devices()[:2])


def test_missing_checkpoints_are_said_and_begun_anew_only_when_told(half, whole):
    shutil.rmtree(half / "checkpoints")
    refused("reached step 40, but its checkpoints are missing.*--restart", half)
    (half / records.STATUS).unlink()  # the lines reach further than a first checkpoint
    refused("reached step 25, but its checkpoints are missing.*--restart", half)
    devices = jax.devices()[:1]
    assert loop.run(short(), half, devices, restart=True) == "finished"
    assert_same(content(half), content(whole))


def test_evaluations_after_a_checkpoint_may_have_taken_the_first_ones_place(tmp_path):
    """Killed between an evaluation and its checkpoint, a run could not go on."""
    config = short(**{"eval.every": 8})
    assert run_here(config, tmp_path / "whole") == "finished"
    shutil.copytree(tmp_path / "whole", cut := tmp_path / "cut")
    (cut / records.STATUS).unlink()
    (cut / checkpoint.WEIGHTS).unlink()
    newest, before = checkpoint.steps(cut)
    checkpoint.path_of(cut, newest).unlink()
    kept = records.read_run(cut).hits["steps"]
    assert sum(kept <= before) < len(kept) == records.HITS_KEPT
    assert_credited_only_from_before(shutil.copytree(cut, tmp_path / "old"), before)
    RunWriter(cut).cut(before)  # and killed again before the next evaluation
    assert run_here(config, cut) == "finished"
    assert_same(content(cut), content(tmp_path / "whole"))
    os.remove(cut / records.HITS)
    refused("hits.npz is not what it was then", cut, config=config)


def assert_credited_only_from_before(folder, step):
    """Asserts that a full file without a count may lack what no count was kept of."""
    arrays = records.load_hits(folder / records.HITS)
    del arrays[records.FORGOTTEN]
    np.savez(folder / records.HITS, **arrays)
    before = seen.of(folder, step) | {"evaluations": records.HITS_KEPT}
    assert seen.lost(folder, {}, step, {"records": before}) == ""
    counted = before | {"evaluations": records.HITS_KEPT + 1}
    assert "hits.npz is not" in seen.lost(folder, {}, step, {"records": counted})


@pytest.mark.parametrize(
    "done", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))]
)
def test_killed_while_it_forgets_what_was_forced_a_run_goes_on(whole, tmp_path, done):
    run_here(short(steps=50), tmp_path)
    forgets = shutil.copytree(tmp_path, tmp_path / "forgets")
    forced = checkpoint.about(checkpoint.path_of(tmp_path, 50))["forced"]
    assert {"eval", "probe"} <= set(forced)
    RunWriter(forgets).cut(50, forced)
    for name in (records.METRICS, records.HITS, records.ACTIVATIONS)[:done]:
        shutil.copy(forgets / name, tmp_path / name)
    shutil.rmtree(forgets)
    assert run_here(short(), tmp_path) == "finished"
    assert_same(content(tmp_path), content(whole))


def test_going_on_from_an_older_checkpoint_is_said(half, whole, capsys):
    checkpoint.path_of(half, 40).unlink()
    assert run_here(short(), half) == "finished"
    assert "of step 40 is missing or damaged; going on from that of step 25" in (
        capsys.readouterr().out
    )
    assert_same(content(half), content(whole))


def cut(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def change(path):
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 1.', 1))


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (records.METRICS, remove, "metrics.jsonl is not what it was then: 0 of 11"),
        (records.METRICS, cut, "metrics.jsonl is not what it was then: 9 of 11"),
        (records.METRICS, change, "a record was changed"),
        (records.ACTIVATIONS, remove, "activations.npz .*: 0 of 2 records"),
        (records.HITS, remove, "hits.npz .*: 0 of 3 records"),
    ],
)
def test_records_that_are_missing_are_named(half, name, damage, message):
    damage(half / name)
    refused(f"cannot go on from step 40: .*{message}.*--restart", half)


def test_a_checkpoint_from_before_is_held_to_what_was_due(half, whole):
    for step in checkpoint.steps(half):
        path = checkpoint.path_of(half, step)
        arrays = checkpoint.read(path)
        np.savez(path, **arrays, sha256=np.array(files.digest(arrays)))
    kept = (half / records.METRICS).read_bytes()
    cut(half / records.METRICS)
    refused("metrics.jsonl lacks 1 of 2 records due until then", half)
    (half / records.METRICS).write_bytes(kept)
    assert run_here(short(), half) == "finished"
    assert_same(content(half), content(whole))


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"status": 3}', b"\xff"])
@pytest.mark.parametrize(
    "name", [records.STATUS, records.MANIFEST, records.CLASSES, records.CONFIG]
)
def test_what_can_be_written_anew_does_not_stop_a_resume(half, name, damage):
    (half / name).write_bytes(damage)
    if (name, damage) == (records.CONFIG, b'{"status": 3}'):
        return refused("holds a run of another configuration", half)
    found = resume.look(recorded(short()), half)
    assert found.checkpoint.step == 40
    as_of_before = name == records.MANIFEST and damage.startswith(b"{")
    said = any(f"{name} is damaged; it is written anew" in n for n in found.notes)
    assert said != as_of_before


def recorded(config):
    config, stated, _ = start.prepare(config, jax.devices()[:1])
    return resolve.as_record(config, stated)


def test_damaged_files_are_written_anew_and_the_run_goes_on(half, whole):
    for name in (records.STATUS, records.MANIFEST, records.CLASSES, records.CONFIG):
        (half / name).write_text("{")
    assert run_here(short(), half) == "finished"
    assert_same(content(half), content(whole))
    run = records.read_run(half)
    assert run.config == records.read_run(whole).config
    assert run.class_names == list("0123456789")


def test_without_config_json_the_checkpoint_knows_its_run(half):
    (half / records.CONFIG).unlink()
    other = short(**{"optimizer.learning_rate": 0.2})
    refused("no checkpoint .*learning_rate: 0.1 there, 0.2 now", half, config=other)


@pytest.mark.parametrize("damage", [remove, lambda path: path.write_bytes(b"PK")])
def test_the_weights_of_a_finished_run_are_rebuilt(full, whole, damage, capsys):
    damage(full / checkpoint.WEIGHTS)
    assert run_here(short(), full) == "finished"
    assert "rebuilding it from the last checkpoint" in capsys.readouterr().out
    weights = (checkpoint.read(run / checkpoint.WEIGHTS) for run in (full, whole))
    for ours, theirs in zip(*(w.items() for w in weights), strict=True):
        assert ours[0] == theirs[0]
        np.testing.assert_array_equal(ours[1], theirs[1])
    assert_same(content(full), content(whole))


def test_a_finished_run_that_lost_something_for_good_says_so(full, capsys):
    shutil.rmtree(full / "checkpoints")
    weights = full / checkpoint.WEIGHTS
    weights.rename(full / "aside")
    assert run_here(short(), full) == "finished"
    assert "weights.npz is missing, and no checkpoint" in capsys.readouterr().out
    weights.write_bytes(b"PK")
    refused("weights.npz is damaged: .*no checkpoint is left.*--restart", full)
    (full / "aside").rename(weights)
    cut(full / records.METRICS)
    refused(
        "but metrics.jsonl lacks the last record of eval/batch.*--restart",
        full,
    )
    (full / records.METRICS).unlink()
    refused("finished, but metrics.jsonl is missing.*--restart", full)


def test_weights_of_another_run_are_not_taken_for_one_s_own(full, whole, tmp_path):
    run_here(short(seed=1), tmp_path / "other")
    shutil.copy(tmp_path / "other" / checkpoint.WEIGHTS, full)
    assert run_here(short(), full) == "finished"
    assert_same(content(full), content(whole))


def test_a_longer_run_is_as_if_it_had_been_asked_for_at_once(whole, tmp_path):
    workdir = tmp_path / "grown"
    assert run_here(short(steps=50), workdir) == "finished"
    assert records.read_run(workdir).series("test", "ema", "loss")[0][-1] == 50
    assert run_here(short(), workdir) == "finished"
    assert_same(content(workdir), content(whole))
    refused("finished 60 steps, steps is 50 now", workdir, config=short(steps=50))
    changed = records.read_run(workdir).manifest["starts"][-1]["changed"]
    assert changed == {"steps": [50, 60]}


def test_killed_while_it_grows_it_still_goes_on(whole, tmp_path, monkeypatch):
    workdir = tmp_path / "grown"
    run_here(short(steps=50), workdir)
    aside = shutil.copytree(workdir, tmp_path / "aside")

    def killed(*_):
        raise KeyboardInterrupt

    for module, method in ((under_way, "save_checkpoint"), (start, "_record_start")):
        with monkeypatch.context() as patched:
            patched.setattr(module, method, killed)
            with pytest.raises(KeyboardInterrupt):
                run_here(short(), workdir)
    assert run_here(short(), workdir) == "finished"
    assert_same(content(workdir), content(whole))
    assert run_here(short(steps=50), aside) == "finished"  # untouched by all that


def test_what_changes_no_step_may_change_on_a_resume(half, whole):
    changed = {"log_every": 30, "steps_per_call": 3, "checkpoint.keep": 1}
    assert run_here(short(**changed), half) == "finished"
    ours, theirs = content(half), content(whole)
    for name, array in theirs[4].items():
        np.testing.assert_array_equal(ours[4][name], array, err_msg=name)
    assert records.read_run(half).config["log_every"] == 30
    assert run_here(short(), half) == "finished"  # and back: nothing to do
    other = short(seed=1, **{"bn.ema_decay": 0.9})
    refused(
        "bn.ema_decay: 0.99 there, 0.9 now; seed: 0 there, 1 now", half, config=other
    )


def test_other_examples_are_refused_and_moved_ones_told(half, capsys):
    writer = RunWriter(half)
    examples, sha256 = (writer.manifest[name] for name in ("examples", "data_sha256"))
    writer.update_manifest(data_sha256=sha256 | {"train": "c"}, examples={"train": 599})
    with pytest.raises(UserError, match="on 599 examples, now there are 600"):
        run_here(short(), half)
    writer.update_manifest(examples=examples)
    assert run_here(short(), half) == "finished"
    assert "data_sha256.train: other pictures" in capsys.readouterr().out
    manifest = records.read_run(half).manifest
    assert manifest["data_sha256"] == sha256
    changed = {"data_sha256.train": ["c", sha256["train"]]}
    assert manifest["starts"][-1]["changed"] == changed


@pytest.fixture
def probed(tmp_path):
    """Returns the folder of a run of 25 steps with a probe, and its configuration."""
    record = short().to_dict() | {"stated": {}}
    writer = RunWriter(tmp_path)
    writer.write_config(record)
    writer.append_activations(0, {"h": np.zeros((3, 2))}, (15, 50, 85))
    tree, about = {"x": np.zeros(2)}, {"records": seen.of(tmp_path, 25)}
    checkpoint.save(tmp_path, 25, tree, 1, record, **about)
    return tmp_path, record


@pytest.mark.parametrize(
    ("key", "value"), [("percentiles", (5.0, 50.0, 95.0)), ("bins", 9), ("examples", 6)]
)
def test_probes_of_another_kind_are_refused_where_there_are_some(probed, key, value):
    """They were appended, under the percentiles of now, or ended in a traceback."""
    folder, record = probed
    other = record | {"probe": record["probe"] | {key: value}}
    there = rf"{record['probe'][key]}".replace("(", r"\[").replace(")", r"\]")
    with pytest.raises(
        UserError, match=rf"probe.{key}: {there} there, .*--branch_from"
    ):
        resume.look(other, folder)
    RunWriter(folder).cut(-1)  # no probe is left
    tree = {"x": np.zeros(2)}
    checkpoint.save(folder, 25, tree, 1, record, records=seen.of(folder, 25))
    assert resume.look(other, folder).checkpoint.step == 25


def test_when_to_probe_and_what_besides_may_change(probed):
    folder, record = probed
    other = {"every": 7, "steps": (3,), "log_spaced": 5, "measures": ("shape",)}
    found = resume.look(record | {"probe": record["probe"] | other}, folder)
    assert found.changed.keys() == {f"probe.{key}" for key in other}


def test_a_branch_goes_on_from_another_run_s_checkpoint(half, tmp_path):
    config = short(**{"optimizer.learning_rate": 0.01})
    refused("another configuration.*--branch_from", half, config=config)
    workdir, devices = tmp_path / "branch", jax.devices()[:1]
    branched = {"branch_from": str(half)}
    assert loop.run(config, workdir, devices, **branched) == "finished"
    run = records.read_run(workdir)
    origin = run.manifest["branched_from"]
    assert (origin["run"], origin["step"]) == (str(half), 40)
    assert origin["changed"] == {"optimizer.learning_rate": [0.1, 0.01]}
    steps, _ = run.series("train", "batch", "loss")
    assert steps.tolist() == [45, 60]
    assert {row["learning_rate"] for row in run.metrics if "learning_rate" in row} == {
        np.float32(0.01).item()
    }
    assert loop.run(config, workdir, devices, **branched) == "finished"
    with pytest.raises(UserError, match="has no checkpoint to branch from"):
        (tmp_path / "empty").mkdir()
        RunWriter(tmp_path / "empty").write_config({"seed": 0})
        loop.run(config, tmp_path / "new", devices, branch_from=str(tmp_path / "empty"))


@pytest.mark.slow
def test_a_branch_counts_the_examples_of_the_batch_size_before_it(half, tmp_path):
    batch = records.read_run(half).config["batch_size"]
    size = {"batch_size": 2 * batch, "reference_batch": 2 * batch}
    first, second = short(steps=60, **size), short(steps=70)
    for config, name, there in ((first, "a", half), (second, "b", tmp_path / "a")):
        loop.run(config, tmp_path / name, jax.devices()[:1], branch_from=str(there))
    rows = records.read_metrics(tmp_path / "b" / records.METRICS)
    expected = batch * (40 + 2 * 20 + 10)
    assert (rows[-1]["step"], rows[-1]["examples"]) == (70, expected)


def test_a_restart_that_cannot_branch_removes_nothing(half, tmp_path):
    restart = {"restart": True, "config": short(seed=7)}
    refused("no such folder", half, branch_from=str(tmp_path / "no"), **restart)
    refused("would remove what --branch_from", half, branch_from=str(half), **restart)
    restart["config"].data.update({"source": "tfds", "dir": "/nowhere"})
    refused("no prepared TFDS data set mnist in /nowhere", half, **restart)


def test_an_interrupted_branch_resumes_bit_for_bit(half, tmp_path, monkeypatch):
    config = short(**{"optimizer.momentum": 0.5})
    devices, branched = jax.devices()[:1], {"branch_from": str(half)}
    loop.run(config, tmp_path / "whole", devices, **branched)
    for chunks in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(parallel, "Preemption", lambda n=chunks: StopAt(n))
            loop.run(config, tmp_path / "cut", devices, **branched)
    assert loop.run(config, tmp_path / "cut", devices) == "finished"
    assert_same(content(tmp_path / "cut"), content(tmp_path / "whole"))


def test_initial_weights_that_are_not_finite_end_diverged_without_weights(tmp_path):
    config = short("plain", **{"model.init_stddev": 3e38})
    assert run_here(config, tmp_path) == "diverged"
    run = records.read_run(tmp_path)
    assert (run.status["step"], run.status["first_bad_step"]) == (0, 0)
    assert "images_per_second" not in run.manifest
    assert not (tmp_path / checkpoint.WEIGHTS).exists()
    assert checkpoint.steps(tmp_path) == []
    assert run_here(config, tmp_path) == "diverged"


def test_an_evaluation_that_overflows_is_said_at_the_end(half, capsys, monkeypatch):
    divide = under_way.evaluate

    def overflowing(run):
        divide(run)
        run.record("test", "ema", {"loss": float("inf"), "accuracy": 0.1})

    monkeypatch.setattr(under_way, "evaluate", overflowing)
    assert run_here(short(), half) == "finished"
    assert "test/ema/loss is not finite, first at step 60" in capsys.readouterr().out
    status = json.loads((half / records.STATUS).read_text())
    assert status["not_finite"] == {"test/ema/loss": 60}
