"""A sweep runs what has not ended, each run as if it were alone."""

import errno
import re
import shutil
import sys
import types

import jax
import pytest

from bn_repro import experiment, loop, sweep
from bn_repro.errors import UserError
from bn_repro.loop_test import SHORT, assert_same, content, short
from bn_repro.run_folder import records
from bn_repro.run_folder.lock_test import holder
from bn_repro.sweep import executors, workers
from bn_repro.sweep.progress import LOG

FILE = "configs/mnist.py"
ONLY = ["plain_seed0", "bn_seed0"]
RATES = "configs/mnist_lr_sweep.py"
RATES_ONLY = ["bn_lr0.1_seed0", "bn_lr0.3_seed1", "bn_lr1_seed0", "plain_lr30_seed2"]
LIGHT = SHORT | {  # on the eight devices of this process, with little to compile
    "batch_size": 64,
    "reference_batch": 64,
    "eval.batch_statistics": False,
    "probe.every": 0,
}
OVERRIDES = {k: v for k, v in SHORT.items() if k != "optimizer.learning_rate"}


def mtime(workdir):
    return (workdir / records.METRICS).stat().st_mtime_ns


@pytest.mark.slow
def test_workers_train_as_if_each_member_were_alone(tmp_path):
    members = sweep.members(RATES, OVERRIDES, RATES_ONLY, tmp_path)
    statuses = sweep.run(members, jobs=2)
    assert statuses == dict.fromkeys(RATES_ONLY, "finished")
    alone = tmp_path / "alone"
    for name in RATES_ONLY[1:2]:
        experiment.forget()
        member = next(m for m in members if m.name == name)
        loop.run(member.load_config(), alone / name, jax.devices()[:1])
        assert_same(content(member.workdir), content(alone / name))
    # Two workers in all, so that three members took what another had compiled.
    logs = [(m.workdir / LOG).read_text().splitlines() for m in members]
    assert len({log[0] for log in logs}) == 2
    assert all(log[0].startswith("process ") for log in logs)
    before = [mtime(m.workdir) for m in members]
    sweep.run(members, jobs=2)  # skips all of them
    assert [mtime(m.workdir) for m in members] == before


def test_workers_are_sent_members_of_the_network_that_they_know():
    tasks = [workers.Task(None, group) for group in (0, 1, 0, 1, 1, 2)]
    given = {0: [], 1: []}

    class Recorder(workers.Worker):
        def give(self, task):
            self.task, self.group = task, task.group
            given[self._cores[0]].append(task.group)

    pair = [Recorder([0]), Recorder([1])]
    while tasks:
        workers._hand_out(tasks, pair)
        for worker in pair:
            worker.task = None
    assert given == {0: [0, 0, 2], 1: [1, 1, 1]}


def test_a_folder_of_another_configuration_is_refused(tmp_path):
    members = sweep.members(FILE, SHORT, ONLY, tmp_path)
    loop.run(short("bn"), tmp_path / "bn_seed0", jax.devices()[:1])
    changed = sweep.members(FILE, SHORT | {"optimizer.momentum": 0.5}, ONLY, tmp_path)
    with pytest.raises(UserError, match="bn_seed0 holds .*momentum: 0.9 there, 0.5"):
        sweep.run(changed, jobs=2)
    assert [m.status() for m in members] == ["waiting", "finished"]


@pytest.mark.parametrize(("executor", "jobs"), [("processes", 1), ("vmap", 0)])
def test_a_failing_member_does_not_touch_the_others(tmp_path, capfd, executor, jobs):
    (tmp_path / "plain_seed0").mkdir(parents=True)
    (tmp_path / "plain_seed0" / "checkpoints").write_text("in the way")
    (tmp_path / "plain_seed1").write_text("in the way")
    names = ["plain_seed0", "plain_seed1", "plain_seed2"]
    members = sweep.members(FILE, LIGHT, names, tmp_path)
    statuses = sweep.run(members, executor, jobs)
    assert statuses == dict(zip(names, ["failed", "failed", "finished"], strict=True))
    printed = capfd.readouterr().out
    assert f"plain_seed0: failed: cannot write {tmp_path}" in printed
    assert f"plain_seed1: failed: cannot write {tmp_path}" in printed
    status = records.read_run(tmp_path / "plain_seed0").status
    assert status["status"] == "failed" and "cannot write" in status["message"]


def test_one_after_another_in_this_process(tmp_path, capsys):
    members = sweep.members(FILE, LIGHT, ["bn_seed0", "bn_seed1"], tmp_path)
    assert set(sweep.run(members, "here").values()) == {"finished"}
    printed = capsys.readouterr().out
    last = r"bn_seed1: finished at step 60, test accuracy 0\.\d+ \(\w+\) \(2 of 2\)"
    assert re.search(last, printed)


@pytest.mark.parametrize(
    "executor", ["here", pytest.param("vmap", marks=pytest.mark.slow)]
)
def test_what_another_sweep_is_at_is_looked_at_again(
    tmp_path, monkeypatch, capfd, executor
):
    names = ["bn_seed0", "bn_seed1"]
    members = sweep.members(FILE, LIGHT, names, tmp_path)
    other = holder(members[0].workdir, "flock")
    until_it_ends = types.SimpleNamespace(sleep=lambda _: other.communicate(""))
    monkeypatch.setattr(executors, "time", until_it_ends)
    assert sweep.run(members, executor) == dict.fromkeys(names, "finished")
    printed = capfd.readouterr().out
    assert "another process is at bn_seed0; waiting for it" in printed
    first, second = (printed.index(f"{name}: finished") for name in names[::-1])
    assert first < second


def test_members_that_were_never_started_are_not_held():
    """After an interrupt that the running ones ended in spite of."""
    group = [types.SimpleNamespace(name="ran"), types.SimpleNamespace(name="waits")]
    assert executors._held([group], {"ran": "finished"}, None) == []


def test_a_worker_leaves_what_another_sweep_is_at_untouched(tmp_path):
    (member,) = sweep.members(FILE, LIGHT, ["bn_seed0"], tmp_path)
    other = holder(member.workdir, "flock")
    assert workers._train_logged(member, [0]) == workers.HELD
    assert [path.name for path in member.workdir.iterdir()] == ["lock"]
    other.communicate("")


def test_bad_options_are_refused_before_anything_starts(tmp_path):
    members = sweep.members(FILE, SHORT, ONLY, tmp_path)
    with pytest.raises(UserError, match="--executor is 'pmap'; .*processes, devices"):
        sweep.run(members, "pmap")
    with pytest.raises(UserError, match="--jobs is -1"):
        sweep.run(members, "processes", -1)
    with pytest.raises(UserError, match="--jobs is for --executor=processes"):
        sweep.run(members, "vmap", 2)
    streamed = {"data.name": "imagenet", "data.source": "image_folder"}
    members = sweep.members(FILE, SHORT | streamed, ONLY, tmp_path)
    with pytest.raises(UserError, match="vmap needs data that live on the devices"):
        sweep.run(members, "vmap")
    assert {m.status() for m in members} == {"waiting"}


def test_nothing_is_forgotten_for_a_restart_that_cannot_be(tmp_path):
    shutil.copytree("results/mnist/bn_seed0", tmp_path / "bn_seed0")
    members = sweep.members(FILE, {}, ONLY[::-1], tmp_path)
    other = holder(members[1].workdir, "flock")
    bad = sweep.members(FILE, {"data.limit": -1}, ONLY[::-1], tmp_path)
    places = {"data.name": "imagenet", "data.source": "image_folder"}
    places |= {"data.train": "/nowhere", "data.val": "/nowhere"}
    away = sweep.members(FILE, places | {"data.image_size": 64}, ["bn_seed0"], tmp_path)
    for chosen, executor, message in (
        (members, "pmap", "--executor is 'pmap'"),
        (bad, "here", "data.limit is -1"),
        (away, "here", "/nowhere does not exist"),
        (members, "here", "plain_seed0 is being written by process"),
    ):
        with pytest.raises(UserError, match=message):
            sweep.run(chosen, executor, restart=True)
    other.communicate("")
    assert members[0].status() == "finished"
    assert records.read_run(members[0].workdir).metrics


def test_the_reason_is_told_though_the_log_s_disk_is_full(tmp_path, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    failing = {"data.limit": 1, "data.source": "none"}
    (member,) = sweep.members(FILE, LIGHT | failing, ["bn_seed0"], tmp_path)
    monkeypatch.setattr(workers, "_print_to", lambda path: None)
    monkeypatch.setattr(sys, "stderr", Full())
    assert "data.source" in workers._train_logged(member, "here")
    monkeypatch.setattr(workers, "train", lambda member: 1 / 0)
    assert "ZeroDivisionError" in workers._train_logged(member, "here")
