"""Holds the population statistics to Algorithm 2, in float64 numpy."""

import jax
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import config_dict

from bn_repro import data, loop, models, parallel
from bn_repro.data.order import Order
from bn_repro.errors import UserError
from bn_repro.inference import members, population
from bn_repro.loop_test import short
from bn_repro.run_folder import checkpoint
from configs import common

BATCHES = 3
# Other statistics each.
OTHERS = {"seed": 8, "batch_size": 30, "data.seed": 9, "data.limit": 300}
OTHERS |= {"bn.batch": "60"}
# The same statistics.
SAME = {"data.train": "elsewhere", "data.workers": 3, "data.eval_resize": 300}
SAME |= {"data.max_bad_fraction": 0.5, "bn.ema_decay": 0.5, "bn.bias_correction": False}
SAME |= {"bn.biased": True}


def train(workdir, name="bn", **overrides):
    config = short(name, **{"steps": 20, "probe.every": 0} | overrides)
    config.eval.population_batches = BATCHES
    loop.run(config, workdir, jax.devices()[:1])
    return members.load(workdir, common.get_config())


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    return train(tmp_path_factory.mktemp("run") / "bn", **{"bn.batch": "15"})


def paper_statistics(member, batches, group):
    """Algorithm 2, steps 7 to 10: (E[x], Var[x]) of each hidden layer."""
    config = member.config
    images = data.load(config.data).train.images
    order = Order(config.data.limit, config.data.seed)
    size = config.batch_size
    positions = member.step * size + np.arange(batches * size)
    examples = np.float64(images[order.examples_at(positions)])
    means = {"hidden_1": [], "hidden_2": []}
    variances = {"hidden_1": [], "hidden_2": []}
    for z in np.split(examples.reshape(len(examples), -1), len(examples) // group):
        for name in means:
            layer = jax.tree.map(np.float64, member.variables["params"][name])
            x = z @ layer["kernel"]
            mu, s2 = x.mean(0), x.var(0)
            means[name].append(mu)
            variances[name].append(group / (group - 1) * s2)
            normalized = (x - mu) / np.sqrt(s2 + config.bn.epsilon)
            y = layer["bn"]["scale"] * normalized + layer["bn"]["bias"]
            z = 1 / (1 + np.exp(-y))
    return {n: (np.mean(means[n], 0), np.mean(variances[n], 0)) for n in means}


@pytest.mark.parametrize("devices", [1, 4])
def test_statistics_are_those_of_algorithm_2(member, devices):
    mesh = parallel.make_mesh(jax.devices()[:devices])
    for batches in (1, BATCHES):
        fewer = with_values(member, {"eval.population_batches": batches})
        statistics = population.estimate(fewer, mesh, lambda line: None)
        expected = paper_statistics(member, batches, group=15)
        for name, (mean, var) in expected.items():
            ours = statistics[name]["bn"]
            np.testing.assert_allclose(ours["mean"], mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(ours["var"], var, rtol=1e-4, atol=1e-6)


def with_values(member, values):
    config = config_dict.ConfigDict(member.config.to_dict())
    config.update_from_flattened_dict(values)
    return member._replace(config=config)


def test_they_are_kept_with_what_they_are_of(member, tmp_path, monkeypatch):
    bn = member._replace(path=tmp_path)
    mesh = parallel.make_mesh(jax.devices()[:1])
    first = population.variables_of(bn, mesh)["batch_stats"]
    file = tmp_path / f"population_{BATCHES}.npz"
    assert file.is_file()
    estimate, said = population.estimate, []
    monkeypatch.setattr(population, "estimate", None)  # must not be asked again
    again = with_values(bn, SAME)
    again = population.variables_of(again, mesh, said.append)["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not said
    params = jax.tree.map(lambda x: x + 1, member.variables["params"])
    others = {"weights": bn._replace(variables=member.variables | {"params": params})}
    others |= {key: with_values(bn, {key: value}) for key, value in OTHERS.items()}
    for name, other in others.items():
        with pytest.raises(TypeError):
            population.variables_of(other, mesh, said.append)
        assert said.pop().startswith(f"{file} is of other {name}"), name
    monkeypatch.setattr(population, "estimate", estimate)
    other = others["data.seed"]
    earlier = checkpoint.read(file)
    del earlier[population.ORIGIN]
    checkpoint.write(file, earlier)
    population.variables_of(other, mesh, said.append)
    assert said[0] == (
        f"{file} does not say what it was estimated on: it is computed again"
    )
    assert population._kept(file, other, population._origin(other, mesh), said.append)


def test_they_are_of_so_many_training_examples(member, tmp_path, monkeypatch):
    bn, said = member._replace(path=tmp_path), []
    mesh = parallel.make_mesh(jax.devices()[:1])
    population.variables_of(bn, mesh)
    monkeypatch.setattr(population, "estimate", None)
    with monkeypatch.context() as patched:
        patched.setattr(population.splits, "open_split", no_pictures)
        population.variables_of(bn, mesh, said.append)  # kept ones need no pictures
    train, test, names = data.load(member.config.data)
    fewer = data.Splits(data.Arrays(*(x[:500] for x in train)), test, names)
    monkeypatch.setattr(data, "load", lambda config: fewer)
    with pytest.raises(TypeError):
        population.variables_of(bn, mesh, said.append)
    assert len(said) == 1 and "is of other training examples: " in said[0]


def no_pictures(*args, **options):
    raise UserError("the pictures are elsewhere")


def test_a_damaged_file_is_named_with_the_remedy(member, tmp_path):
    file = tmp_path / f"population_{BATCHES}.npz"
    file.write_bytes(b"torn")
    mesh = parallel.make_mesh(jax.devices()[:1])
    with pytest.raises(UserError, match=f"{file} is damaged: .*; remove it, it is"):
        population.variables_of(member._replace(path=tmp_path), mesh)


def test_where_they_cannot_be_kept_they_are_used(member, tmp_path):
    (tmp_path / f".population_{BATCHES}.npz.tmp").mkdir()  # root may write anywhere
    mesh = parallel.make_mesh(jax.devices()[:1])
    said = []
    found = population.variables_of(member._replace(path=tmp_path), mesh, said.append)
    assert said[-1].startswith(f"warning: cannot write {tmp_path}")
    assert said[-1].endswith("the statistics are used, but not kept")
    expected = paper_statistics(member, BATCHES, group=15)["hidden_2"][0]
    ours = found["batch_stats"]["hidden_2"]["bn"]["mean"]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_devices_that_the_batch_does_not_divide_over_are_left_out(member, tmp_path):
    eight = parallel.make_mesh(jax.devices()[:8])
    # 5 and 6 divide the batch of 60, but leave no whole groups of 15 on a device.
    assert population.fitting_mesh(member.config, eight).size == 4
    found = population.variables_of(member._replace(path=tmp_path), eight)
    expected = paper_statistics(member, BATCHES, group=15)["hidden_2"][1]
    ours = found["batch_stats"]["hidden_2"]["bn"]["var"]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_a_float64_run_keeps_float64_statistics(tmp_path):
    try:
        train(
            tmp_path / "wide",
            **{
                "model.dtype": "float64",
                "steps": 2,
                "eval.batch_statistics": False,
                "eval.population_batches_during": 0,
            },
        )
        jax.config.update("jax_enable_x64", False)  # as in a new process
        member = members.load(tmp_path / "wide", common.get_config())
        mesh = parallel.make_mesh(jax.devices()[:1])
        found = [population.variables_of(member, mesh) for _ in range(2)]
    finally:
        jax.config.update("jax_enable_x64", False)
    for name, (mean, var) in paper_statistics(member, BATCHES, group=60).items():
        for variables in found:
            ours = variables["batch_stats"][name]["bn"]
            np.testing.assert_allclose(ours["mean"], mean, rtol=1e-10)
            np.testing.assert_allclose(ours["var"], var, rtol=1e-10)


def test_a_network_without_bn_has_none(tmp_path):
    plain = train(tmp_path / "plain", "plain")
    mesh = parallel.make_mesh(jax.devices()[:1])
    assert population.variables_of(plain, mesh) is plain.variables


class MovingAverages(nn.Module):
    """A norm of one's own: flax's, called as ours is."""

    @nn.compact
    def __call__(self, x, use_running_average, update_stats, mask):
        del update_stats, mask
        return nn.BatchNorm(use_running_average)(x)


def test_a_norm_that_does_not_count_its_updates_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(models.NORMS, "mine", lambda *_: MovingAverages)
    own = train(tmp_path / "own", **{"model.norm": "mine"})
    with pytest.raises(UserError, match="norm='mine' does not count .*statistics ema"):
        population.variables_of(own, parallel.make_mesh(jax.devices()[:1]))
