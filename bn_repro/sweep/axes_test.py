"""What --axis makes of its values, and what it refuses."""

import pytest

from bn_repro import sweep
from bn_repro.errors import UserError
from bn_repro.sweep.axes import product

FILE = "configs/mnist.py"
KEYS = {
    "seed": 0,
    "steps": 5,
    "optimizer.learning_rate": 0.1,
    "model.norm": "none",
    "model.hidden": (100,),
    "bn.biased": False,
}


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("optimizer.learning_rate=0.01, 0.1,1", [0.01, 0.1, 1.0]),
        ("optimizer.learning_rate=1e-3:10:5log", [0.001, 0.01, 0.1, 1.0, 10.0]),
        ("optimizer.learning_rate=0:1:3lin", [0.0, 0.5, 1.0]),
        ("optimizer.learning_rate=1:3", [1.0, 2.0]),
        ("seed=0:3", [0, 1, 2]),
        ("steps=1e4,2", [10_000, 2]),
        ("seed=4294967295", [4294967295]),
        ("model.norm=none,batch_norm", ["none", "batch_norm"]),
        ("model.hidden=(100,100),(50,)", [(100, 100), (50,)]),
        ("model.hidden=100,50", [(100, 50)]),
        ("bn.biased=true,False", [True, False]),
    ],
)
def test_values_have_the_type_of_their_key(axis, values):
    key = axis.partition("=")[0]
    found = [run[key] for run in product([axis], KEYS).values()]
    assert found == values and [*map(type, found)] == [*map(type, values)]


def test_every_value_with_every_other_and_names_that_say_which():
    runs = product(["model.norm=none,batch_norm", "seed=0:2"], KEYS)
    assert list(runs) == [
        "norm_none_seed0",
        "norm_none_seed1",
        "norm_batch_norm_seed0",
        "norm_batch_norm_seed1",
    ]
    assert runs["norm_batch_norm_seed1"] == {"model.norm": "batch_norm", "seed": 1}
    (name,) = product(["model.hidden=(100,50)", "optimizer.learning_rate=1e-3"], KEYS)
    assert name == "hidden100-50_learning_rate0.001"
    assert list(product(["seed=-1,1"], KEYS)) == ["seed-1", "seed1"]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["seed"], "--axis seed: it has no =; for example"),
        (["optimizer.learningrate=1"], "did you mean optimizer.learning_rate?"),
        (["seed=1", "seed=2"], "seed is given twice"),
        (["seed=1,1"], "has a value twice"),
        (["optimizer.learning_rate=0.1,1e-1"], "has a value twice"),
        (["seed=3:3"], "has no value"),
        (["seed="], "has no value"),
        (["seed=1.5"], "no whole number; its values are ints, or FIRST:LAST:HOW_MANY"),
        (["bn.biased=1"], "neither true nor false"),
        (["model.hidden=(1,"], "its values are tuples"),
        (["optimizer.learning_rate=-1:1:3log"], "a log scale is of positive numbers"),
        (["optimizer.learning_rate=0:1:3log"], "a log scale is of positive numbers"),
    ],
)
def test_what_is_no_axis_is_refused_in_one_line(axes, message):
    with pytest.raises(UserError, match="^[^\n]*$") as caught:
        product(axes, KEYS)
    assert message in str(caught.value)


def test_the_members_are_the_runs_named_or_the_config_itself(tmp_path):
    axes = ["optimizer.learning_rate=0.1,1", "seed=0:2"]
    found = sweep.members(FILE, {"steps": 7}, ["plain", "bn"], tmp_path, axes)
    assert len(found) == 8
    last = found[-1].load_config()
    assert found[-1].workdir == tmp_path / "bn_learning_rate1_seed1"
    assert (last.seed, last.steps, last.optimizer.learning_rate) == (1, 7, 1.0)
    assert last.model.norm == "batch_norm"
    told = "model.norm=none optimizer.learning_rate=0.1 seed=0"
    assert sweep.listing(found)[0] == f"plain_learning_rate0.1_seed0  {told}"
    alone = sweep.members("configs/common.py", {}, [], tmp_path, ["seed=0:2"])
    assert [member.name for member in alone] == ["seed0", "seed1"]
    with pytest.raises(UserError, match="seed is overridden and an axis"):
        sweep.members(FILE, {"seed": 1}, [], tmp_path, ["seed=0:2"])


def test_a_dry_run_prints_the_first_and_what_all_cost(tmp_path):
    axes = ["seed=0:3"]
    found = sweep.members(FILE, {"steps": 100}, ["bn"], tmp_path, axes)
    text = sweep.dry_run(found)
    assert "model.norm = 'batch_norm'\n" in text
    assert "That is bn_seed0, the first of 3. All: 300 steps, 18,000 examples; " in text
    assert "is known once a run there has ended" in text
    found[1].workdir.mkdir()
    (found[1].workdir / "manifest.json").write_text('{"images_per_second": 100.0}')
    found[2].workdir.mkdir()
    (found[2].workdir / "manifest.json").write_text('{"images_per_second": 0.0}')
    assert "0:03:00 of one process at the speed there" in sweep.dry_run(found)
