"""Compiled programs are kept in the user's cache, unless told otherwise."""

import os

import pytest

from bn_repro import program_cache
from bn_repro.program_cache import FOLDER, SWITCH


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in (FOLDER, SWITCH, program_cache.LEAST):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return monkeypatch


def test_programs_are_kept_in_the_user_s_cache_folder(environment, tmp_path):
    program_cache.keep()
    folder = os.environ[FOLDER]
    assert os.path.isdir(folder) and SWITCH not in os.environ
    assert folder.startswith(str(tmp_path / "cache" / "bn_repro" / "programs-"))
    for relative in ("", "cache"):  # the standard has them passed over
        environment.delenv(FOLDER)
        environment.setenv("XDG_CACHE_HOME", relative)
        program_cache.keep()
        assert os.environ[FOLDER].startswith(str(tmp_path / "home" / ".cache"))


def test_a_folder_that_is_named_stays_and_a_switch_keeps_none(environment):
    environment.setenv(FOLDER, "there")
    program_cache.keep()
    assert os.environ[FOLDER] == "there" and SWITCH not in os.environ
    environment.delenv(FOLDER)
    program_cache.keep(False)
    assert os.environ[SWITCH] == "false" and FOLDER not in os.environ


def test_where_nothing_can_be_written_nothing_is_kept(environment, tmp_path):
    (tmp_path / "file").write_text("")
    environment.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    program_cache.keep()
    assert FOLDER not in os.environ


def test_another_processor_has_a_folder_of_its_own(monkeypatch):
    here = program_cache._processor()
    monkeypatch.setattr(program_cache.Path, "read_text", lambda _: "flags : none")
    assert program_cache._processor() != here
