"""A worker or a sweep that is killed or stopped costs nothing but time."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import jax
import psutil
import pytest

from bn_repro import cli, loop, sweep
from bn_repro.loop_test import SHORT, assert_same, content
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter
from bn_repro.sweep import progress, workers
from bn_repro.sweep.progress import LOG

FILE = "configs/mnist.py"
ONLY = ["plain_seed0", "bn_seed0", "bn_seed1"]
LONG = SHORT | {
    "steps": 2_000,
    "log_every": 50,
    "eval.every": 200,
    "probe.every": 500,
    "checkpoint.every": 100,
    "eval.batch_statistics": False,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns the folder of the members, each trained alone, without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    for member in sweep.members(FILE, LONG, ONLY, folder):
        loop.run(member.load_config(), member.workdir, jax.devices()[:1])
    return folder


def kill_once_it_makes_steps(workdir, times):
    """Kills the first so many processes that a member is trained in."""
    log, killed = workdir / LOG, []
    while len(killed) < times:
        time.sleep(0.01)
        lines = log.read_text().splitlines() if log.exists() else []
        starts = [i for i, line in enumerate(lines) if line.startswith("process")]
        if not starts or not any("rate" in line for line in lines[starts[-1] :]):
            continue
        pid = int(lines[starts[-1]].split()[1])
        if pid not in killed:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_member_nothing_but_time(tmp_path, whole, capsys):
    members = sweep.members(FILE, LONG, ONLY[:2], tmp_path)
    arguments = members[0].workdir, workers.RETRIES
    threading.Thread(
        target=kill_once_it_makes_steps, args=arguments, daemon=True
    ).start()
    statuses = sweep.run(members, jobs=1)
    assert statuses == dict.fromkeys(ONLY[:2], "finished")
    assert capsys.readouterr().out.count("exit status -9; it is resumed") == 2
    for member in members:
        assert_same(content(member.workdir), content(whole / member.name))


def test_a_member_whose_workers_keep_dying_has_failed(tmp_path, capsys):
    class Dead(workers.Worker):
        def outcome(self):
            self.task, self.exit_status = None, -9
            return workers.DIED

    (member,) = sweep.members(FILE, LONG, ["bn_seed0"], tmp_path)
    writer = RunWriter(member.workdir)
    writer.write_config({"seed": 0})
    writer.write_status("running", 700)
    todo, outcomes = [workers.Task(member, 0)], {}
    while todo:
        worker = Dead([0])
        worker.task = todo.pop()
        workers._collect(worker, todo, outcomes, progress.Progress(1, 0))
    what = "its process died with exit status -9, 3 times in all"
    assert outcomes == {"bn_seed0": f"failed: {what}"}
    assert capsys.readouterr().out.count("it is resumed") == workers.RETRIES
    status = records.read_run(member.workdir).status
    assert status == {"status": "failed", "step": 700, "message": what}


def start(workdir):
    command = [
        sys.executable,
        str(cli.ROOT / "scripts" / "sweep.py"),
        f"--config={FILE}",
        f"--workdir={workdir}",
        f"--only={','.join(ONLY)}",
        "--executor=processes",
        "--jobs=2",
        *(f"--config.{key}={value}" for key, value in LONG.items()),
    ]
    return subprocess.Popen(command, start_new_session=True)


def steps_in_logs(workdir):
    return {
        log.parent.name: log.read_text().count("rate")
        for log in workdir.glob(f"*/{LOG}")
    }


def wait_for_steps(workdir, process, members=1):
    """Waits until so many members have made steps since the call."""
    before = steps_in_logs(workdir)
    deadline = time.monotonic() + 60

    def moved():
        now = steps_in_logs(workdir)
        return sum(now[name] > before.get(name, 0) for name in now)

    while process.poll() is None and moved() < members:
        assert time.monotonic() < deadline, "the members did not start"
        time.sleep(0.01)


def kill_at_random_moments(workdir, times):
    """Kills the sweep itself; its workers have to notice and stop writing."""
    draw = random.Random(1)
    for _ in range(times):
        process = start(workdir)
        if draw.random() < 0.7:
            wait_for_steps(workdir, process)
            time.sleep(draw.uniform(0, 0.5))
        else:  # while processes start or compile
            time.sleep(draw.uniform(0, 4))
        process.kill()
        process.wait()
        assert_workers_stop(workdir)


def assert_workers_stop(workdir):
    """Asserts that nobody is left who writes to the run folders."""
    logs = [log.read_text().splitlines() for log in workdir.glob(f"*/{LOG}")]
    starts = [line for log in logs for line in log if line.startswith("process ")]
    deadline = time.monotonic() + 2
    while any(is_alive(int(line.split()[1])) for line in starts):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_goes_on_as(workdir, whole):
    assert start(workdir).wait(timeout=300) == 0
    for name in ONLY:
        assert_same(content(workdir / name), content(whole / name))


@pytest.mark.slow
def test_stopped_or_killed_a_sweep_goes_on_as_if_it_had_not_been(tmp_path, whole):
    process = start(tmp_path)
    wait_for_steps(tmp_path, process, members=2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 128 + signal.SIGINT
    statuses = [records.status(tmp_path / name)["status"] for name in ONLY]
    assert "running" not in statuses and "interrupted" in statuses
    kill_at_random_moments(tmp_path, 1)
    assert_goes_on_as(tmp_path, whole)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_it_leaves_the_same_records(tmp_path, whole):
    kill_at_random_moments(tmp_path, 20)
    assert_goes_on_as(tmp_path, whole)
