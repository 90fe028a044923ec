"""Members in one program train as they do alone, to rounding, and end on their own."""

import json

import numpy as np
import pytest

from bn_repro import loop, parallel, sweep
from bn_repro.loop_test import StopAt, assert_same, content, short
from bn_repro.run_folder import records
from bn_repro.sweep import vmapped

# On the eight devices of this process.
OVERRIDES = {"steps": 100, "batch_size": 64, "reference_batch": 64, "eval.every": 50}
VARIED = {
    "first": {"optimizer.learning_rate": 0.05},
    "second": {"seed": 1, "optimizer.learning_rate": 0.3, "model.init_stddev": 0.2},
    "third": {"seed": 2, "data.seed": 7, "optimizer.learning_rate": 1.0},
}


def member(name, workdir, **overrides):
    config = short("bn", **OVERRIDES, **VARIED.get(name, {}), **overrides)
    return sweep.Planned(name, workdir / name, json.dumps(config.to_dict()), {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns the folder of the members, trained together without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    statuses = sweep.run([member(name, folder) for name in VARIED], "vmap")
    assert statuses == dict.fromkeys(VARIED, "finished")
    return folder


def assert_close(a, b):
    """Asserts that two run folders agree to 1e-5 but for seconds and counts of ties."""
    metrics, others = content(a)[0], content(b)[0]
    assert [(m["step"], m["split"]) for m in metrics] == [
        (m["step"], m["split"]) for m in others
    ]
    for ours, theirs in zip(metrics, others, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    assert content(a)[1:4] == content(b)[1:4]
    for ours, theirs in zip(content(a)[4:], content(b)[4:], strict=True):
        assert ours.keys() == theirs.keys()
        for name in ("state/params/hidden_1/kernel", "state/learning_rate"):
            if name in ours:
                np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)


@pytest.mark.slow
@pytest.mark.accelerator
def test_members_agree_with_running_them_alone(tmp_path, whole):
    for name in VARIED:
        alone = member(name, tmp_path)
        loop.run(alone.load_config(), alone.workdir)
        assert_close(whole / name, alone.workdir)
    run = records.read_run(whole / "first")
    assert run.manifest["members_in_program"] == 3
    assert (whole / "first" / "log.txt").read_text().count("step ") >= 6
    assert (whole / "first" / "weights.npz").exists()


def test_a_member_that_another_sweep_has_ended_since_stays(whole):
    files = [whole / "first" / name for name in ("metrics.jsonl", "manifest.json")]
    before = [file.read_bytes() for file in files]
    progress = sweep.progress.Progress(1, 0)
    ended = vmapped.train([member("first", whole)], progress)
    assert ended == {"first": "finished"}
    assert [file.read_bytes() for file in files] == before


@pytest.mark.slow
def test_interrupted_members_resume(tmp_path, whole, monkeypatch):
    members = [member(name, tmp_path) for name in VARIED]
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "Preemption", lambda: StopAt(7))
        statuses = sweep.run(members, "vmap")
    assert statuses == dict.fromkeys(VARIED, "interrupted")
    assert sweep.run(members, "vmap") == dict.fromkeys(VARIED, "finished")
    for name in VARIED:
        assert_same(content(tmp_path / name), content(whole / name))


@pytest.mark.slow
def test_members_that_resume_at_different_steps_wait_for_each_other(
    tmp_path, whole, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "Preemption", lambda: StopAt(7))
        assert sweep.run([member("second", tmp_path)], "vmap")["second"] != "finished"
    members = [member(name, tmp_path) for name in VARIED]
    assert sweep.run(members, "vmap") == dict.fromkeys(VARIED, "finished")
    for name in VARIED:
        assert_close(tmp_path / name, whole / name)


def test_a_member_that_diverges_touches_nobody(tmp_path, whole):
    """Its place in the program is that of a member in the whole group."""
    members = [member(name, tmp_path) for name in VARIED]
    members[1] = member("wild", tmp_path, **{"optimizer.learning_rate": 1e38})
    statuses = sweep.run(members, "vmap")
    assert statuses == {"first": "finished", "wild": "diverged", "third": "finished"}
    status = records.read_run(tmp_path / "wild").status
    assert status["step"] == status["first_bad_step"] < 20
    for name in ("first", "third"):
        assert_same(content(tmp_path / name), content(whole / name))
