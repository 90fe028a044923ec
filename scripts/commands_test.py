"""The commands work from any directory and end bad input in one clear line."""

import os
import re
import resource
import subprocess
import sys

import pytest

from bn_repro import __main__ as entry
from bn_repro import cli, keys, loop
from bn_repro.analysis import testing
from bn_repro.loop_test import short
from bn_repro.run_folder import records
from bn_repro.sweep.executors_test import LIGHT

SCRIPTS = cli.ROOT / "scripts"
CONFIG = "--config=configs/mnist.py:bn"
EIGHT = {"batch_size": 80, "reference_batch": 80}  # for the devices of this process


def run(script, *arguments, cwd=None):
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    # The tests' kept programs save time, but XLA talks about them on stderr.
    environment = {k: v for k, v in os.environ.items() if "CACHE" not in k}
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.optimizer.learning_rate=nan"], "optimizer.learning_rate is nan"),
        (["--config.optimizer.learning_rate=-1"], "optimizer.learning_rate is -1.0"),
        (["--config.data.source=webpage"], "data.source is 'webpage'; accepted"),
        (["--config.batch_size=7x"], "batch_size"),
        (["--config.no_such_key=1"], "no_such_key"),
        (
            ["--config.Optimizer.learning-rate=1"],
            "did you mean optimizer.learning_rate",
        ),
        (["--config.optimizer={}"], "optimizer is a section; override its keys"),
        (["--config.bn.biased", "False"], "did you mean --config.bn.biased=False?"),
        (["--workdir= "], "--workdir is empty"),
        (["--config.steps=1,000"], "'1,000' is no whole number"),
        (["--config.eval.train=perhaps"], "=perhaps: 'perhaps' is neither true nor"),
        (
            ["--config.model.hidden=5,6", "--config.model.hidden=7"],
            "--config.model.hidden is given twice",
        ),
        ([CONFIG], "--config is given twice; this command takes one"),
        (
            ["--config.batch_size=80", "--config.bn.batch=7"],
            "bn.batch=7 does not divide the 10 examples",
        ),
    ],
)
def test_a_bad_value_ends_in_one_line_that_names_it(tmp_path, call, arguments, message):
    result = call("train", f"--workdir={tmp_path / 'run'}", CONFIG, *arguments)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(errors(result)) == 1


def errors(result):
    """Returns the lines of stderr but for absl's pointer to --help."""
    lines = result.stderr.strip().splitlines()
    return [line for line in lines if not line.startswith("Pass --help")]


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("train", [CONFIG, "--workdir=run"]),
        ("sweep", [CONFIG, "--workdir=run"]),
        ("evaluate", ["--workdir=run", "--members", "a,"]),
        ("export", ["--workdir=run", "--out=x"]),
        ("report", ["--workdir=run"]),
        ("import_weights", [CONFIG, "--weights=x", "--workdir=run"]),
        ("benchmark", ["--only", "mnist,"]),
        ("prepare_data", ["mnist", "--source=x"]),
    ],
)
def test_every_command_refuses_what_no_flag_takes(
    script, arguments, tmp_path, monkeypatch, call
):
    monkeypatch.chdir(tmp_path)
    result = call(script, *arguments, "stray_word")
    assert result.returncode == 2
    assert len(errors(result)) == 1
    assert "error: 'stray_word' belongs to no flag" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_sweep_takes_runs_of_several_config_files(tmp_path, call):
    also = "--config=configs/mnist_lr_sweep.py:bn_lr0.1_seed0,plain_lr30_seed2"
    arguments = [f"{CONFIG}_seed0", also, f"--workdir={tmp_path}"]
    result = call("sweep", *arguments, "--config.steps=7", "--list")
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "mnist_bn_seed0",
        "mnist_lr_sweep_bn_lr0.1_seed0",
        "mnist_lr_sweep_plain_lr30_seed2",
    ]
    result = call("sweep", *arguments, "--only=bn_seed0", "--list")
    assert errors(result) == [
        "error: --only is for one --config; with several: FILE.py:RUN,RUN"
    ]


def test_missing_flags_are_named_all_at_once(call):
    for arguments in ([], ["--config.seed=3"]):
        result = call("train", *arguments)
        assert result.returncode == 2
        (line,) = errors(result)
        assert line.startswith("error: give --config (Config file and run")
        assert "and --workdir (" in line
        assert line.endswith(
            "train.py --config configs/mnist.py:bn --workdir runs/mnist/bn"
        )


def test_runs_and_configurations_are_shown_without_a_workdir(tmp_path, call):
    listed = call("train", "--config=configs/mnist.py", "--list").stdout
    assert "bn_seed3  model.norm=batch_norm seed=3\n" in listed
    listed = call("sweep", CONFIG, "--list", f"--workdir={tmp_path}").stdout
    assert listed == "bn_seed0  waiting  model.norm=batch_norm seed=0\n"
    several = ["--config=configs/mnist.py:plain,bn_seed1", "--axis=steps=1e2,9"]
    listed = call("sweep", *several, "--list").stdout
    assert listed.split("\n")[1::2] == [
        "plain_steps9  model.norm=none seed=0 steps=9",
        "bn_seed1_steps9  model.norm=batch_norm seed=1 steps=9",
    ]
    printed = ["--print_config", "--config.steps=1e4", "--config.batch_size=120"]
    printed = call("train", CONFIG, *printed).stdout
    assert "\nsteps = 5000\n" in printed and "steps: 10000 -> 5000" in printed
    note = "data.flip changes nothing with data.name='mnist'\n"
    flipped = call("train", CONFIG, "--print_config", "--config.data.flip=true").stdout
    assert flipped.endswith(note)
    assert call("sweep", CONFIG, "--list", "--config.data.flip=1").stderr == note


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("sweep", [CONFIG, "--workdir=x", "--count=3"], "without --index"),
        ("evaluate", ["--workdir=x", "--batch_size=-1"], "--batch_size=-1"),
        (
            "evaluate",
            ["--workdir=x", "--probabilities=a.npz", "--crops=10", "--limit=9"],
            "--crops, --limit cannot be with --probabilities",
        ),
        ("report", [], "error: give --workdir"),
        ("report", ["--workdir=gs://a/b"], "gs://a/b is no folder of this machine"),
        ("sweep", [CONFIG, "--workdir=s3://a", "--list"], "s3://a is no folder of"),
        (
            "sweep",
            [CONFIG, "--list", "--axis=model.width=0.5,1"],
            "model.width changes nothing with model.name='mlp': its runs",
        ),
        ("train", [CONFIG, "--flagfile=none"], "Unable to open flagfile"),
    ],
)
def test_a_flag_that_cannot_be_is_named(
    script, arguments, message, tmp_path, monkeypatch, call
):
    monkeypatch.chdir(tmp_path)
    result = call(script, *arguments)
    assert result.returncode == 2
    (line,) = errors(result)
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "variable",
    ["JAX_PLATFORMS", pytest.param("JAX_PLATFORM_NAME", marks=pytest.mark.slow)],
)
def test_a_platform_that_is_not_there_is_named(variable, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, "cuda")
    result = run("train.py", CONFIG, f"--workdir={tmp_path}")
    assert result.returncode == 2
    assert f"error: {variable}=cuda " in result.stderr
    assert "asks for devices that are not there" in result.stderr
    assert len(errors(result)) == 1


def test_a_terminal_of_few_letters_takes_the_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    testing.write_course(tmp_path / "bn", [0.1])
    result = run("report.py", "--claims", "--workdir", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "mean +- standard deviation" in result.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the folder of a short run, on the eight devices of this process."""
    config = short(**EIGHT)
    folder = tmp_path_factory.mktemp("run") / "bn"
    assert loop.run(config, folder) == "finished"
    return folder


@pytest.mark.slow
def test_another_configuration_in_the_folder_is_refused(trained, call):
    eight = [f"--config.{key}={value}" for key, value in EIGHT.items()]
    result = call("train", CONFIG, f"--workdir={trained}", *eight)
    assert result.returncode == 2
    assert "optimizer.momentum: 0.9 there, 0.0 now" in result.stderr
    assert f"--workdir {trained}_2" in result.stderr


def test_a_run_is_evaluated_as_asked_or_nothing_is_done(trained, tmp_path, call):
    workdir = f"--workdir={trained}"
    result = call("evaluate", workdir, "--members=,", "--limit=30")
    assert "of 30 pictures" in result.stdout, result.stderr
    (tmp_path / "file").write_text("in the way")
    out = f"--out={tmp_path / 'file' / 'out'}"
    result = call("evaluate", workdir, out, "--limit=30")
    assert result.returncode == 2
    assert len(errors(result)) == 1
    assert f"cannot write {tmp_path / 'file' / 'out'}" in result.stderr


@pytest.mark.slow
def test_commands_work_from_any_directory(tmp_path, monkeypatch, call):
    only = "--only=plain_seed0,bn_seed0"
    sweep = ["--config=configs/mnist.py", only, "--workdir=runs", "--executor=here"]
    flags = [f"--config.{key}={value}" for key, value in LIGHT.items()]
    monkeypatch.chdir(tmp_path)
    result = call("sweep", *sweep, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 of 2 runs have ended" in result.stdout
    assert records.read_run(tmp_path / "runs" / "bn_seed0").status["step"] == 60
    result = run("report.py", "--workdir=runs", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / "figure1.png").stat().st_size > 10_000
    assert (tmp_path / "runs" / "report.html").exists()


def test_help_answers_at_once():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run("train.py", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 2  # seconds of a processor, whatever else runs


@pytest.mark.parametrize(
    "name", [name for name in entry.COMMANDS if name != "prepare_data"]
)
def test_help_shows_every_flag_and_key_and_an_example(name, call):
    result = call(name, "--help")
    assert result.returncode == 0
    assert f"\npython scripts/{name}.py " in result.stdout
    defined = (SCRIPTS / f"{name}.py").read_text()
    names = re.findall(r'DEFINE_(\w+)\(\s*"(\w+)"', defined)
    shown = [f"[no]{flag}" if kind == "bool" else flag for kind, flag in names]
    shown += ["processes"] if "define_processes" in defined else []
    for flag in shown + (["config"] if "define_config" in defined else []):
        assert f"\n  --{flag} " in result.stdout
    if "define_config" in defined:
        for key in keys.KEYS:
            assert f"\n  {key}=" in result.stdout


def test_help_shows_the_values_of_the_run_that_is_given(call):
    assert "\n  model.norm='batch_norm' " in call("train", CONFIG, "--help").stdout
    assert "\n  model.norm='none' " in call("train", "--help").stdout


def test_help_leaves_no_gap_before_what_absl_says_of_a_list(call):
    told = call("sweep", "--help").stdout
    assert "values; repeat this option" in told and ";  " not in told


def test_an_import_ends_bad_input_in_one_line(tmp_path, call):
    arguments = [f"--weights={tmp_path / 'none.npz'}", f"--workdir={tmp_path / 'run'}"]
    arguments += ["--config=configs/imagenet.py:bn_baseline"]
    result = call("import_weights", *arguments)
    assert result.returncode == 2
    assert errors(result) == [f"error: there is no file {tmp_path / 'none.npz'}"]
    result = call("import_weights", *arguments, "--mean=1,2")
    assert errors(result) == ["error: --mean is 1,2; it must be three numbers"]
