import importlib
from pathlib import Path

import pytest

from bn_repro import resolve
from bn_repro.run_folder import recorded
from configs import imagenet, mnist, tiny_imagenet, tiny_imagenet_ablation

FILES = sorted(
    file.stem
    for file in Path(__file__).parent.glob("*.py")
    if file.stem not in ("__init__", "common") and not file.stem.endswith("_test")
)


def configurations(file):
    """Returns run -> stated configuration, keyed by dotted names."""
    module = importlib.import_module(f"configs.{file}")
    return {
        name: recorded.stated(module.get_config(name).to_dict()) for name in module.RUNS
    }


@pytest.mark.parametrize("file", FILES)
def test_every_run_of_every_file_is_accepted(file):
    module = importlib.import_module(f"configs.{file}")
    for name in module.RUNS:
        config, _ = resolve.resolve(module.get_config(name))
        assert config.experiment == file
    resolve.resolve(module.get_config())


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
        norm: 3,
        "model.nonlinearity": 3,
        "model.hidden": 2,
        "model.dropout": 2,
        "seed": 3,
    }


def test_the_sweep_has_the_network_steps_and_batch_of_figure_1():
    paper = mnist.get_config("bn_seed0").to_dict()
    swept = configurations("mnist_lr_sweep")["bn_lr0.01_seed0"]
    assert swept["steps"] == 50_000
    different = set(recorded.differing_keys(paper, swept)) - {"experiment"}
    recording = ("log_every", "eval.", "probe.")
    assert all(key.startswith(recording) for key in different)


def test_each_run_of_the_ablation_takes_one_change_back():
    runs = configurations("tiny_imagenet_ablation")
    full = runs.pop("bn_x5")
    plain = recorded.stated(tiny_imagenet.get_config("bn_baseline").to_dict())
    taken_back = []
    for flat in runs.values():
        (key,) = (key for key in flat if flat[key] != full[key])
        assert flat[key] == plain[key]
        taken_back.append(key)
    assert sorted(taken_back) == sorted(imagenet.CHANGES)
    assert set(tiny_imagenet_ablation.WITHOUT.values()) == set(imagenet.CHANGES)
