"""A config file's faults are named with their line."""

import pytest

from bn_repro import config_files
from bn_repro.errors import UserError
from bn_repro.sweep import members

GOOD = """
from configs import common
RUNS = {"train": {"seed": 1}, "val": {"seed": 2}}
def get_config(name="train"):
    return common.with_overrides(common.get_config(), RUNS, name)
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\ndef get_config(:", "line 2: SyntaxError"),
        ("x = 1", "it defines no get_config"),
        ("import no_such", "line 1: ModuleNotFoundError: No module named 'no_such'"),
        ("def get_config():\n    return {}", "get_config returns no ConfigDict"),
        ("def get_config():\n    return 1 / 0", "line 2: ZeroDivisionError"),
        ("x\0", "null bytes"),
    ],
)
def test_a_fault_is_one_line_that_names_the_place(tmp_path, text, message):
    file = tmp_path / "a.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        config_files.load(str(file))
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"learning_rate": 1.0}, 'line 5: KeyError: .*"learning_rate" does not exist'),
        ({"optimizer.l3": 1.0}, 'line 5: KeyError: .*"l3" does not exist'),
        ({"optimizer.l2": "1"}, "line 5: TypeError: .*'l2'"),
    ],
)
def test_a_run_that_sets_what_cannot_be_is_refused(tmp_path, overrides, message):
    file = tmp_path / "a.py"
    file.write_text(f"{GOOD}RUNS['bad'] = {overrides}")
    for load in (config_files.load, lambda at: members(at[:-4], {}, ["bad"], tmp_path)):
        with pytest.raises(UserError, match=f"^[^\n]*{message}[^\n]*$"):
            load(f"{file}:bad")


def test_runs_may_be_called_like_splits_and_an_unknown_one_is_told_the_nearest(
    tmp_path,
):
    file = tmp_path / "a.py"
    file.write_text(GOOD)
    assert config_files.load(f"{file}:val").seed == 2
    with pytest.raises(
        UserError, match="no run 'vall'; did you mean val. It has: train"
    ):
        config_files.load(f"{file}:vall")
    for wrong, meant in {"bm": "bn", "plian": "plain", "bn_sed1": "bn_seed1"}.items():
        with pytest.raises(UserError, match=f"'{wrong}'; did you mean {meant}. It"):
            config_files.load(f"mnist:{wrong}")


def test_a_packaged_file_is_found_by_name_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    for value in ("mnist:bn_seed1", "configs/mnist.py:bn_seed1"):
        assert config_files.load(value).seed == 1
    with pytest.raises(UserError, match="'minst' is not there; did you mean mnist.$"):
        config_files.find("minst:bn")


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "a.txt").write_text(GOOD)
    for value, message in {
        "configs": "is a folder",
        "": "'' is not there",
        "configs/mnits.py:bn": "did you mean configs/mnist.py",
    }.items():
        with pytest.raises(UserError, match=message):
            config_files.find(value)
    with pytest.raises(UserError, match="must end in .py"):
        config_files.load(str(tmp_path / "a.txt"))
