"""A sweep runs what has not ended, each run as if it were alone."""

import os
import signal
import subprocess
import sys
import time

import jax
import pytest

from bn_repro import cli, loop, records, sweep
from bn_repro.errors import UserError
from bn_repro.loop_test import SHORT, assert_same, content, short

FILE = "configs/mnist.py"
ONLY = ["plain_seed0", "bn_seed0"]


def test_members_are_the_runs_with_the_overrides(tmp_path):
    found = sweep.members(FILE, {"steps": 7}, [], tmp_path)
    assert [m.name for m in found][:3] == ["plain_seed0", "bn_seed0", "plain_seed1"]
    assert len(found) == 10
    assert {m.status() for m in found} == {"waiting"}
    assert '"steps": 7' in found[3].config


def test_unknown_runs_and_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no run bm; it has: plain_seed0"):
        sweep.members(FILE, {}, ["bm"], tmp_path)
    with pytest.raises(UserError, match="no config file configs/none.py"):
        sweep.members("configs/none.py", {}, [], tmp_path)
    with pytest.raises(UserError, match="seed is what the runs of .* differ in"):
        sweep.members(FILE, {"seed": 3}, [], tmp_path)
    with pytest.raises(UserError, match="common.py has no RUNS"):
        sweep.members("configs/common.py", {}, [], tmp_path)


def test_members_are_identical_to_running_them_alone(tmp_path):
    members = sweep.members(FILE, SHORT, ONLY, tmp_path)
    assert sweep.run(members, jobs=2) == dict.fromkeys(ONLY, "finished")
    alone = tmp_path / "alone"
    loop.run(short("bn"), alone, jax.devices()[:1])
    assert_same(content(tmp_path / "bn_seed0"), content(alone))
    before = (tmp_path / "bn_seed0" / records.METRICS).stat().st_mtime_ns
    sweep.run(members, jobs=2)  # skips both
    assert (tmp_path / "bn_seed0" / records.METRICS).stat().st_mtime_ns == before


def test_a_folder_of_another_configuration_is_refused(tmp_path):
    members = sweep.members(FILE, SHORT, ONLY, tmp_path)
    loop.run(short("bn"), tmp_path / "bn_seed0", jax.devices()[:1])
    changed = sweep.members(FILE, SHORT | {"steps": 59}, ONLY, tmp_path)
    with pytest.raises(UserError, match="bn_seed0 holds .*steps: 60 there, 59 now"):
        sweep.run(changed, jobs=2)
    assert [m.status() for m in members] == ["waiting", "finished"]


def test_a_failing_member_does_not_touch_the_others(tmp_path, capfd):
    (tmp_path / "plain_seed0").mkdir(parents=True)
    (tmp_path / "plain_seed0" / "checkpoints").write_text("in the way")
    members = sweep.members(FILE, SHORT, ONLY, tmp_path)
    statuses = sweep.run(members, jobs=2)
    assert statuses == {"plain_seed0": "failed", "bn_seed0": "finished"}
    assert "plain_seed0: failed with exit status 2: error:" in capfd.readouterr().out


def test_ctrl_c_leaves_every_member_resumable(tmp_path):
    overrides = SHORT | {"steps": 100_000, "checkpoint.every": 5_000}
    command = [
        sys.executable,
        str(cli.ROOT / "scripts" / "sweep.py"),
        f"--config={FILE}",
        f"--workdir={tmp_path}",
        f"--only={','.join(ONLY)}",
        "--jobs=2",
        *(f"--config.{key}={value}" for key, value in overrides.items()),
    ]
    process = subprocess.Popen(command, start_new_session=True)
    wait_for_progress([tmp_path / name for name in ONLY], process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 1
    for name in ONLY:
        status = records.read_run(tmp_path / name).status
        assert status["status"] == "interrupted"
        assert list((tmp_path / name / "checkpoints").glob("*.npz"))


def wait_for_progress(workdirs, process):
    for _ in range(600):
        started = [(w / records.METRICS).exists() for w in workdirs]
        if all(started):
            return
        assert process.poll() is None
        time.sleep(0.1)
    pytest.fail("the members did not start")
