"""Another batch size translates what depends on it."""

import pytest

from bn_repro import keys
from bn_repro.errors import UserError
from bn_repro.inference import members
from bn_repro.resolve import describe, ignored, resolve
from bn_repro.run_folder import identity
from configs import common, imagenet, mnist


def test_the_same_batch_changes_nothing_but_the_seed_of_the_order():
    config = mnist.get_config("bn_seed3")
    resolved, stated = resolve(config)
    assert stated == {"data.seed": -1}
    assert resolved.data.seed == 3
    assert describe(resolved, stated) == ""
    assert resolved.steps == 50_000


@pytest.mark.parametrize(("size", "shorter"), [(224, 256), (64, 73), (299, 342)])
def test_an_evaluation_sees_as_much_of_a_picture_at_any_size(size, shorter):
    """At 64 pixels it saw 6 % of each."""
    config = imagenet.get_config("bn_x30")
    config.data.image_size = size
    resolved, stated = resolve(config)
    assert resolved.data.eval_resize == shorter
    assert stated == {"data.seed": -1, "data.eval_resize": 0}
    assert "data.eval_resize" in identity.FREE  # runs from before recorded 256 at any


@pytest.mark.parametrize(
    ("source", "key"),
    [
        *(("packed", key) for key in ("data.train", "data.val", "data.dir")),
        *(("tfds", key) for key in ("data.train", "data.val")),
        ("image_folder", "data.dir"),
    ],
)
def test_a_place_that_the_source_does_not_read_is_refused(source, key):
    """A run with MNIST's pictures in a folder trained on those of the package."""
    config = common.get_config()
    config.update_from_flattened_dict({key: "/pictures", "data.source": source})
    what = f"{key} is '/pictures'; it must be empty with data.source='{source}'"
    with pytest.raises(UserError, match=what):
        resolve(config)


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        ("bn.epsilon", {"model.norm": "none"}),
        ("model.width", {"model.name": "mlp"}),
        ("data.flip", {"data.name": "mnist"}),
        ("bn.noise", {"model.norm": "layer_norm"}),
        ("model.norm_placement", {"model.norm": "none"}),
        ("optimizer.decay_epochs", {"optimizer.decay_factor": 1.0}),
        ("data.shard_size", {"data.shuffle": "full"}),
        ("eval.early_until", {"eval.early_every": 0}),
    ],
)
def test_a_key_that_nothing_reads_is_told(key, setting):
    read, unread = imagenet.get_config("bn_x5"), imagenet.get_config("bn_x5")
    other = {"eval.early_every": 5, "eval.early_until": 9}
    read.update_from_flattened_dict(other | {"data.shuffle": "shard"})
    unread.update_from_flattened_dict(setting)
    place, value = next(iter(setting.items()))
    assert ignored([key], [unread]) == [f"{key} changes nothing with {place}={value!r}"]
    assert not ignored([key], [unread, read])


@pytest.mark.parametrize(
    ("rule", "rate"), [("linear", 8), ("sqrt", 8**0.5), ("none", 1)]
)
def test_another_batch_translates_steps_rate_and_decay(rule, rate):
    config = common.get_config()
    config.batch_size, config.batch_rule = 480, rule
    resolved, stated = resolve(config)
    assert resolved.steps * 8 == config.steps
    assert resolved.eval.every == round(config.eval.every / 8)
    assert resolved.optimizer.learning_rate == pytest.approx(0.01 * rate)
    assert resolved.bn.ema_decay == pytest.approx(0.99**8)
    assert resolved.probe.log_spaced == 0
    assert stated["steps"] == config.steps
    assert "steps: 50000 -> 6250" in describe(resolved, stated)
    again, stated_again = resolve(resolved)
    assert again.to_dict() == resolved.to_dict()
    assert stated_again == {}


def test_another_model_s_own_key_is_asked_of_it_alone(monkeypatch):
    monkeypatch.setitem(keys.KEYS, "model.own", keys.whole(1))
    resolve(mnist.get_config("bn"))
    config = mnist.get_config("bn")
    config.model.own = 3
    recorded = resolve(config)[0].to_dict()
    assert members.config_of(recorded, common.get_config(), {}).model.own == 3
    config.model.own = 0
    with pytest.raises(UserError, match="model.own is 0; it must be a whole number"):
        resolve(config)


def test_an_unknown_run_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no run 'bm'.*plain_seed0, bn_seed0"):
        mnist.get_config("bm")
