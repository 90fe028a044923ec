"""Words that no flag takes are named, and what was meant is guessed."""

import os
import re

import pytest

from bn_repro import arguments
from bn_repro.errors import UserError

FLAGS = {"workdir": "text", "members": "list", "list": "switch", "config": "text"}
FLAGS |= {"config.bn.biased": "switch", "config.probe.percentiles": "list"}
FLAGS |= {"out": "text", "jobs": "number", "config.optimizer.learning_rate": "number"}
KEYS = (
    "seed",
    "bn.biased",
    "probe.percentiles",
    "optimizer.learning_rate",
    "data.seed",
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--workdir|a|--config.bn.biased|False", "'False' .* --config.bn.biased=False"),
        ("--list|no", "'no' .* --list=no"),
        ("--workdir|a|config.seed=3", "'config.seed=3' .* --config.seed=3"),
        ("--workdir=a|seed=3", "'seed=3' .* --config.seed=3"),
        ("workdir=a", "'workdir=a' .* --workdir=a"),
        ("–config.seed=3", ".* --config.seed=3"),  # a dash of an editor
        ("--members|a,|b", "'b' .* --members=a,b"),
        ("--members=a|,b", "',b' .* --members=a,b"),
        (
            "--config.probe.percentiles=15,|50,|85",
            "'50,' and '85' .*percentiles=15,50,85",
        ),
        ("--workdir|my|runs|here", "'runs' and 'here' .* --workdir=\"my runs here\""),
        ("--workdir=a|configs/mnist.py:bn", ".* --config=configs/mnist.py:bn"),
        ("runs/mnist", "'runs/mnist' .* --workdir=runs/mnist"),
        ("--workdir|a|--|--list", "'--list' belongs to no flag"),
        ("--workdir|a|", "'' belongs to no flag$"),
        ("--workdir|a|-", "'-' belongs to no flag"),
        ("--members|a|b", "'b' .* --members=a,b"),
        ("--jobs|2|4", "'4' belongs to no flag$"),
        ("--jobs=|4", "'4' .* --jobs=4"),
        ("--config=x|runs/a", "'runs/a' .* --workdir=runs/a"),
        ("--members|a|runs/b", "'runs/b' .* --members=a,runs/b"),
        ("+config.seed=3", ".* --config.seed=3"),
        ("--workdir|a|\\", ".* belongs to no flag$"),
        ("--workdir|runs|runs", "'runs' .* --workdir=\"runs runs\""),
    ],
)
def test_strays_are_named_with_what_was_meant(line, message):
    found = arguments.strays(line.split("|"), FLAGS, KEYS)
    assert re.match(message, found), found


def test_what_flags_take_is_no_stray():
    line = "--workdir|a b|--list|--members|c|--config.bn.biased|--out=d|-5=|--"
    assert arguments.strays(line.split("|"), FLAGS, KEYS) == ""


@pytest.mark.parametrize(
    "line", ["--workdir|--list", "--list|--workdir", "--out|--x=1"]
)
def test_a_flag_without_its_value_takes_no_other_flag_for_it(line):
    assert arguments.without_value(line.split("|"), FLAGS).endswith(" has no value")
    assert arguments.without_value(["--workdir", "-1", "--list"], FLAGS) == ""


def test_a_flag_that_there_is_not_is_named_with_the_nearest():
    assert arguments.unknown(["noconfig.bn.biased", "out"], FLAGS) == ""
    found = arguments.unknown(["wrkdir"], FLAGS)
    assert found == "there is no flag --wrkdir; did you mean --workdir?"
    found = arguments.unknown(["learning_rate"], FLAGS)
    assert found.endswith("did you mean --config.optimizer.learning_rate?")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("optimizer.learning-rate", "optimizer.learning_rate"),
        ("Optimizer.Learning_Rate", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("model.learning_rate", "optimizer.learning_rate"),
        ("bn.baised", "bn.biased"),
        ("sed", "seed"),
        ("data.sed", "data.seed"),
        ("x.y.z", ""),
    ],
)
def test_the_nearest_name(word, name):
    assert arguments.nearest(word, KEYS) == name


def test_home_is_found_where_the_shell_does_not_look(monkeypatch):
    monkeypatch.setitem(os.environ, "HOME", "/home/me")
    assert arguments.at_home("--workdir=~/x") == "--workdir=/home/me/x"
    assert arguments.at_home("--members=~/a,b,~") == "--members=/home/me/a,b,/home/me"
    assert arguments.at_home("~/x") == "/home/me/x"
    for same in ("--workdir=a~/x", "--only=~nobody_here", "--list"):
        assert arguments.at_home(same) == same
    with pytest.raises(UserError, match="no home ~nobody_here; write ./~nobody_here"):
        arguments.at_home("--workdir=~nobody_here/x")
