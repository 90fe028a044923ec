import functools
import importlib
import json
from pathlib import Path

import pytest

from bn_repro import resolve
from bn_repro.run_folder import configuration
from configs import (
    imagenet,
    mnist,
    tiny_imagenet,
    tiny_imagenet_ablation,
    tiny_imagenet_paper_rates,
)

FILES = sorted(
    file.stem
    for file in Path(__file__).parent.glob("*.py")
    if file.stem not in ("__init__", "common") and not file.stem.endswith("_test")
)


@functools.cache
def configurations(file):
    """Returns run -> stated configuration, keyed by dotted names."""
    module = importlib.import_module(f"configs.{file}")
    return {
        name: configuration.stated(module.get_config(name).to_dict())
        for name in module.RUNS
    }


@pytest.mark.parametrize("file", FILES)
def test_every_run_of_every_file_is_accepted(file):
    module = importlib.import_module(f"configs.{file}")
    for name in module.RUNS:
        config, _ = resolve.resolve(module.get_config(name))
        assert config.experiment == file
    resolve.resolve(module.get_config())


@pytest.mark.parametrize("file", FILES)
def test_the_header_says_section_claim_command_and_cost(file):
    header = importlib.import_module(f"configs.{file}").__doc__
    begun = {line.split(" ")[0] for line in header.splitlines()}
    assert {"Claim", "Run", "Cost"} <= begun and header.startswith("Sec. ")


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("why_")])
def test_the_result_in_a_header_is_a_number_or_not_there_yet(file):
    header = importlib.import_module(f"configs.{file}").__doc__
    result = header.split("\nResult ")[1].split("\n\n")[0]
    folder = Path(__file__).parents[1] / "results" / file
    is_there = folder.is_dir()
    assert is_there == any(map(str.isdigit, result))
    assert is_there != ("not run yet" in result)


@pytest.mark.parametrize("file", FILES)
def test_every_run_of_a_file_is_another(file):
    found = configurations(file)
    assert len({repr(sorted(flat.items())) for flat in found.values()}) == len(found)


def varying(file):
    """Returns dotted key -> the values that the runs of a file differ in."""
    values = {}
    for flat in configurations(file).values():
        for key, value in flat.items():
            values.setdefault(key, set()).add(repr(value))
    return {key: len(found) for key, found in values.items() if len(found) > 1}


def test_sweeps_vary_what_they_say_and_nothing_else():
    rate, norm = "optimizer.learning_rate", "model.norm"
    assert varying("mnist_lr_sweep") == {norm: 2, rate: 10, "seed": 3}
    assert varying("mnist_init_sweep") == {norm: 2, "model.init_stddev": 7, "seed": 3}
    assert varying("tiny_imagenet_lr_sweep") == {norm: 2, rate: 6}
    assert varying("mnist_variations") == {
        norm: 2,
        "model.norm_placement": 2,
        "model.nonlinearity": 3,
        "model.hidden": 2,
        "model.dropout": 2,
        "seed": 3,
    }


def test_the_sweep_has_the_network_steps_and_batch_of_figure_1():
    paper = mnist.get_config("bn_seed0").to_dict()
    swept = configurations("mnist_lr_sweep")["bn_lr0.01_seed0"]
    assert swept["steps"] == 50_000
    different = set(configuration.differing_keys(paper, swept)) - {"experiment"}
    recording = ("log_every", "eval.", "probe.")
    assert all(key.startswith(recording) for key in different)


def test_each_run_of_the_ablation_takes_one_change_back():
    runs = configurations("tiny_imagenet_ablation")
    full = configuration.stated(tiny_imagenet.get_config("bn_x5").to_dict())
    plain = configuration.stated(tiny_imagenet.get_config("bn_baseline").to_dict())
    taken_back = set()
    own = {"experiment", "steps", "seed"}
    for flat in runs.values():
        (key,) = (key for key in flat.keys() - own if flat[key] != full[key])
        assert flat[key] == plain[key]
        taken_back.add(key)
    cannot_show = {"optimizer.l2", "data.shuffle"}
    assert taken_back == set(tiny_imagenet_ablation.WITHOUT.values())
    assert taken_back == set(imagenet.CHANGES) - cannot_show


def test_the_time_axis_of_the_small_networks_is_the_papers_compressed():
    """Every decay comes after 1 / 387.5 of the paper's steps, at 1, 5 and 30 rates."""
    paper, small = (
        {name: module.get_config(name) for name in imagenet.RUNS}
        for module in (imagenet, tiny_imagenet)
    )
    for name, config in small.items():
        pictures = {"paper": 1_281_167, "small": 50_000}
        decay_steps = {
            "paper": paper[name].optimizer.decay_epochs * pictures["paper"] / 32,
            "small": config.optimizer.decay_epochs * pictures["small"] / 32,
        }
        ratio = decay_steps["paper"] / decay_steps["small"]
        assert ratio == pytest.approx(387.5, rel=1e-4)
        factor = config.optimizer.learning_rate / tiny_imagenet.RATE
        paper_factor = paper[name].optimizer.learning_rate / 0.0015
        assert factor == pytest.approx(paper_factor)
    assert small["inception"].steps * 387.5 == paper["inception"].steps


def test_the_rates_of_the_paper_are_the_papers():
    for name, run in tiny_imagenet_paper_rates.RUNS.items():
        paper = imagenet.get_config(name).optimizer.learning_rate
        assert run["optimizer.learning_rate"] == paper


COMMITTED = {  # what today's files say otherwise
    "mnist": set(),
    "mnist_init_sweep": set(),
    "mnist_lr_sweep": set(),
    "mnist_variations": set(),
    **dict.fromkeys((file for file in FILES if file.startswith("why_")), set()),
    **dict.fromkeys(  # given on the command line
        ("tiny_imagenet_lr_sweep", "why_inception_init", "why_inception_jacobians"),
        {"data.train", "data.val"},
    ),
}


@pytest.mark.parametrize("file", COMMITTED)
def test_committed_records_are_of_the_configurations_of_today(file):
    """A record lacks the keys that are younger than it: those INTRODUCED later."""
    folder = Path(__file__).parents[1] / "results" / file
    for path in folder.glob("*/config.json"):
        now = configurations(file)[path.parent.name]
        there = json.loads(path.read_text())
        assert configuration.differing_keys(there, now).keys() == COMMITTED[file]
