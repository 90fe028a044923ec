"""Calls a command in this process, which takes a tenth of starting another."""

import contextlib
import io
import signal
import sys
import types

import pytest
from absl import flags

from bn_repro import __main__ as entry
from bn_repro import config_files


@pytest.fixture
def call(monkeypatch):
    """Returns a function of a command's name and words to how it ended.

    It returns returncode, stdout and stderr, as `subprocess.run` does.
    """
    scripts = config_files.shipped("scripts")

    def run(name, *words):
        before, handler = set(flags.FLAGS), signal.getsignal(signal.SIGINT)
        ended = types.SimpleNamespace(returncode=0)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                entry.run(scripts / f"{name}.py")
            except SystemExit as stop:
                ended.returncode = stop.code or 0
        for defined in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, defined)
        flags.FLAGS.unparse_flags()
        signal.signal(signal.SIGINT, handler)
        ended.stdout, ended.stderr = out.getvalue(), errors.getvalue()
        return ended

    return run
