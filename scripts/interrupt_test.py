"""Ctrl-C at any moment is one line and 130, or is ignored where it was at the start."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from bn_repro import cli, interrupt
from bn_repro.run_folder import checkpoint, records

HOLDING = """
import signal, sys, weakref
from bn_repro import interrupt
interrupt.install()

class Thing:
    pass

def swallowing(_):
    print("in a callback", flush=True)
    for _ in range(1_000_000_000):
        pass

thing = Thing()
reference = weakref.ref(thing, swallowing)
with interrupt.telling(lambda: print("told", flush=True)):
    del thing
print("went on")
"""


def test_it_is_not_lost_in_a_callback_that_swallows_exceptions():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLDING], **pipes)
    assert process.stdout.readline() == "in a callback\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (130, "told\n")
    assert errors.startswith("interrupted; ") and errors.count("\n") == 1


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_command_that_imports_ends_in_one_line(tmp_path, seconds):
    command = [sys.executable, str(cli.ROOT / "scripts" / "train.py")]
    command += ["--config=configs/mnist.py:bn", f"--workdir={tmp_path / 'run'}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and errors.count("interrupted") <= 1


IGNORING = """
import os
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from bn_repro import interrupt, parallel
interrupt.install()
with parallel.Preemption() as preemption:
    signal.raise_signal(signal.SIGINT)
    assert not preemption.requested()
    signal.raise_signal(signal.SIGTERM)
    assert preemption.requested()
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""


def test_where_it_is_ignored_it_stays_so_and_sigterm_still_saves():
    subprocess.run([sys.executable, "-c", IGNORING], check=True)


def test_what_was_begun_is_marked_interrupted(tmp_path):
    code = f"""
import os, signal
from bn_repro import interrupt, loop
from bn_repro.run_folder.writer import RunWriter
interrupt.install()
writer = RunWriter({str(tmp_path)!r})
writer.write_config({{"seed": 0}})
writer.write_status("running", 40)
with loop.recording_failure(writer):
    os.kill(os.getpid(), signal.SIGINT)
    input()
"""
    result = subprocess.run([sys.executable, "-c", code], input="", text=True)
    assert result.returncode == 130
    status = records.status(tmp_path)
    assert (status["status"], status["step"]) == ("interrupted", 40)
    assert not checkpoint.steps(tmp_path)


def test_what_resumes_is_named_without_what_begins_anew(monkeypatch):
    for words, told in (
        (["--workdir=a", "restart_runs"], ""),
        (["--restart=false"], ""),
        (["--restart"], " without --restart"),
    ):
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        assert interrupt.same_command() == f"the same command{told}"


def test_a_requeued_job_goes_on_instead_of_beginning_anew(monkeypatch, capsys):
    flag = SimpleNamespace(value=True)
    monkeypatch.setattr(cli.flags, "DEFINE_bool", lambda *_: flag)
    restart = cli.define_restart("what")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    assert restart()
    for count, begins in (("0", True), ("1", False)):
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
        assert restart() == begins
    assert "--restart is passed over" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["sweep", "train"])
def test_a_list_that_nobody_reads_to_its_end_ends_quietly(script, tmp_path):
    command = [sys.executable, cli.ROOT / "scripts" / f"{script}.py", "--list"]
    command += ["--config", cli.ROOT / "configs" / "mnist_lr_sweep.py"]
    command += ["--workdir", tmp_path / "runs"] * (script == "sweep")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")
