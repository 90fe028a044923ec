"""One writer a run folder, on file systems with flock and without."""

import concurrent.futures
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from bn_repro.errors import UserError
from bn_repro.run_folder import lock

HOLD = """
import errno, fcntl, sys
from bn_repro.run_folder import lock

def no_flock(*_):
    raise OSError(errno.ENOLCK, "no locks")

if sys.argv[2] == "file":
    fcntl.flock = no_flock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["flock", "file"])
def kind(request, monkeypatch):
    if request.param == "file":

        def no_flock(*_):
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(fcntl, "flock", no_flock)
    return request.param


def holder(folder, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_in_a_line_that_names_the_first(tmp_path, kind):
    process = holder(tmp_path / "run", kind)
    with pytest.raises(UserError) as caught, lock.hold(tmp_path / "run"):
        pass
    assert f"run is being written by process {process.pid} on " in str(caught.value)
    assert "\n" not in str(caught.value)
    process.communicate("")
    with lock.hold(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_the_lock_goes_with_a_killed_holder(tmp_path, kind):
    process = holder(tmp_path, kind)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with (
        lock.hold(tmp_path),
        lock.hold(tmp_path),  # its own process may hold it twice
        pytest.raises(AssertionError),
    ):
        holder(tmp_path, kind)
    with lock.hold(tmp_path):
        pass


def test_a_file_of_another_host_is_not_taken_over(tmp_path, monkeypatch):
    about = {"pid": 1, "host": "elsewhere", "since": "2026-01-01", "birth": "7"}
    (tmp_path / lock.HELD).write_text(json.dumps(about))
    monkeypatch.setattr(lock, "fcntl", None)
    with pytest.raises(UserError, match="process 1 on else"), lock.hold(tmp_path):
        pass
    about |= {"pid": os.getpid(), "host": lock.socket.gethostname()}  # an older one
    (tmp_path / lock.HELD).write_text(json.dumps(about))
    with lock.hold(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    refused = pytest.raises(UserError, match="cannot write .*file/run: Not a direct")
    with refused, lock.hold(tmp_path / "file" / "run"):
        pass


def test_another_thread_is_another_writer(tmp_path):
    def take():
        with lock.hold(tmp_path):
            return True

    with (
        lock.hold(tmp_path),
        lock.hold(tmp_path),
        concurrent.futures.ThreadPoolExecutor(1) as thread,
        pytest.raises(lock.HeldError),
    ):
        thread.submit(take).result()
    assert take()
