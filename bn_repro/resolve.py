"""What a configuration means: validates it and translates it to its batch size."""

import difflib
import math

from ml_collections import config_dict

from bn_repro.errors import UserError
from bn_repro.keys import KEYS, MNIST_EXAMPLES, MNIST_SIZE, PACKAGED, get, shown
from bn_repro.run_folder import configuration

STEP_KEYS = (
    "steps",
    "log_every",
    "eval.every",
    "eval.early_every",
    "eval.early_until",
    "probe.every",
    "checkpoint.every",
    "optimizer.warmup_steps",
)
RATE_FACTORS = {
    "linear": lambda ratio: ratio,
    "sqrt": math.sqrt,
    "none": lambda ratio: 1.0,
}
# What runs may differ in and still share data and programs, with what stands for it
# there: it is in the train state, or an argument.
VARIED = {
    "seed": 0,
    "data.seed": 0,
    "optimizer.learning_rate": 0.0,
    "model.init_stddev": 0.0,
    "model.init_scale": 0.0,
}

# source of data -> keys that say where others read: they would be passed over
UNREAD = {
    "packed": ("data.dir", "data.train", "data.val"),
    "tfds": ("data.train", "data.val"),
    "image_folder": ("data.dir",),
}

OF_BATCH_NORM = (
    "bn.batch",
    "bn.ema_decay",
    "bn.bias_correction",
    "bn.biased",
    "bn.gradient",
    "bn.noise",
    "model.per_activation_last",
    "eval.batch_statistics",
    "eval.population_batches",
    "eval.population_batches_during",
)
# (key, value) -> keys that change nothing beside it, since what reads them is off
IGNORED = {
    ("model.norm", "none"): (*OF_BATCH_NORM, "bn.epsilon", "model.norm_placement"),
    ("model.norm", "layer_norm"): OF_BATCH_NORM,
    ("model.name", "mlp"): (
        "model.init_scale",
        "model.width",
        "model.first_conv",
        "model.pool_proj_4cd",
        "model.padding",
        "model.lrn",
        "probe.locations",
        "probe.jacobian_layers",
    ),
    ("model.name", "inception"): ("model.hidden", "model.init_stddev"),
    ("data.name", "mnist"): (
        "data.distortion",
        "data.crop_area",
        "data.crop_aspect",
        "data.flip",
        "data.eval_resize",
        "data.workers",
        "data.max_pixels",
        "data.max_bad_fraction",
    ),
    ("data.name", "imagenet"): ("data.threshold",),
    ("data.shuffle", "full"): ("data.shard_size",),
    ("optimizer.decay_factor", 1.0): ("optimizer.decay_epochs",),
    ("eval.early_every", 0): ("eval.early_until",),
    ("eval.early_until", 0): ("eval.early_every",),
}


def _unread_is_empty(key: str, source: str) -> tuple:
    """Returns the condition that a source is not given a key that it does not read."""
    holds = lambda c: c.data.source != source or not get(c, key)  # noqa: E731
    return key, holds, f"empty with data.source={source!r}, which does not read it"


def _has_jacobian(model) -> bool:
    norm, place = model.norm, model.norm_placement
    before = norm == "batch_norm" and place == "before"
    return model.name in ("mlp", "inception") and (norm == "none" or before)


# What must hold between keys: (the key to name, config -> bool, what it must be).
CONDITIONS = (
    (
        "probe.measures",
        lambda c: "jacobian" not in c.probe.measures or _has_jacobian(c.model),
        "without 'jacobian' but without norm, or with BN before g",
    ),
    (
        "probe.measures",
        lambda c: (
            "gradient_change" not in c.probe.measures
            or c.optimizer.momentum == c.optimizer.l2 == 0
            and c.model.name == "mlp"
        ),
        "without 'gradient_change' but for an mlp without momentum and l2",
    ),
    (
        "bn.noise",
        lambda c: c.bn.noise == 0 or c.bn.bias_correction,
        "0 without bn.bias_correction, which counts the steps",
    ),
    (
        "eval.train",
        lambda c: not c.eval.train or c.data.name == "mnist",
        "False but for data in memory: data.name='mnist'",
    ),
    (
        "data.on_device",
        lambda c: not c.data.on_device or c.data.name != "mnist",
        "False with data.name='mnist', whose pictures are there anyway",
    ),
    (
        "model.name",
        lambda c: c.model.name != "inception" or c.data.name != "mnist",
        "'mlp' with data.name='mnist'",
    ),
    (
        "model.per_activation_last",
        lambda c: (
            not c.model.per_activation_last
            or (c.model.norm != "layer_norm" and c.model.name != "mlp")
        ),
        "False with model.norm='layer_norm' or model.name='mlp'",
    ),
    (
        "data.image_size",
        lambda c: c.data.name != "mnist" or c.data.image_size == MNIST_SIZE,
        f"{MNIST_SIZE} with data.name='mnist'",
    ),
    (
        "data.image_size",
        lambda c: c.model.name != "inception" or c.data.image_size >= 32,
        "at least 32 with model.name='inception'",
    ),
    (
        "batch_size",
        lambda c: c.batch_size <= MNIST_EXAMPLES or c.data.name != "mnist",
        f"at most the {MNIST_EXAMPLES:,} training examples",
    ),
    *(_unread_is_empty(key, source) for source, keys in UNREAD.items() for key in keys),
)


def validate(config) -> None:
    """Raises UserError for the first value that is not accepted, naming what is."""
    flat = configuration.flatten(config.to_dict())
    for key, accepted in KEYS.items():
        if key not in flat and key not in PACKAGED:
            continue  # another model's or data set's own
        if refusal := accepted.refusal(get(config, key)):
            raise UserError(f"{key} is {shown(config, key)}; it must be {refusal}")
    for key, holds, what in CONDITIONS:
        if not holds(config):
            raise UserError(f"{key} is {shown(config, key)}; it must be {what}")
    for key in flat:
        near = [] if key in KEYS else difflib.get_close_matches(key, KEYS, 1, 0.9)
        if near:
            raise UserError(f"the config has no key {key}; did you mean {near[0]}?")


def ignored(given, configs) -> list[str]:
    """Returns a line for each key, `given` by name, that no configuration reads."""
    lines = []
    for key in given:
        deaf = [place for place, keys in IGNORED.items() if key in keys]
        why = [[(p, v) for p, v in deaf if get(c, p) == v] for c in configs]
        if why and all(why):
            place, value = why[0][0]
            lines.append(f"{key} changes nothing with {place}={value!r}")
    return lines


def resolve(config):
    """Returns the resolved configuration and the stated values that it translated.

    Values that depend on the batch size are stated at `reference_batch`. For another
    `batch_size` the same number of examples is seen: every number of steps is divided
    by the ratio, the learning rate follows `batch_rule`, and the decay of the moving
    averages is raised to the ratio, so that their memory in examples stays. Resolving a
    resolved configuration changes nothing.

    Args:
      config: a ConfigDict with the keys of `configs.common`, after all overrides.

    Returns:
      (a new ConfigDict, {dotted key: stated value}).

    Raises:
      UserError: a value is not accepted; the message names the key, the value and what
        is.
    """
    validate(config)
    resolved = config_dict.ConfigDict(config.to_dict())
    translated = {}
    if config.data.eval_resize == 0:
        translated["data.eval_resize"] = round(config.data.image_size * 256 / 224)
    if config.data.seed == -1:
        translated["data.seed"] = config.seed
    ratio = config.batch_size / config.reference_batch
    if ratio != 1:
        for key in STEP_KEYS:
            if (stated := get(config, key)) > 0:
                translated[key] = max(1, round(stated / ratio))
        if config.probe.steps:
            scaled = sorted({round(n / ratio) for n in config.probe.steps})
            translated["probe.steps"] = tuple(scaled)
        factor = RATE_FACTORS[config.batch_rule](ratio)
        rate = config.optimizer.learning_rate * factor
        translated["optimizer.learning_rate"] = rate
        translated["bn.ema_decay"] = config.bn.ema_decay**ratio
        translated["reference_batch"] = config.batch_size
    stated = {key: get(config, key) for key in translated}
    resolved.update_from_flattened_dict(translated)
    try:
        validate(resolved)
    except UserError as error:
        raise UserError(
            f"translated from a batch of {config.reference_batch} to one of "
            f"{config.batch_size}, {error}; state values at reference_batch="
            f"{config.batch_size}"
        ) from error
    return resolved.lock(), stated


def describe(config, stated) -> str:
    """Returns lines that say what resolve translated, or "" if nothing but the seed."""
    if "reference_batch" not in stated:
        return ""
    lines = [
        f"Batch {config.batch_size} instead of {stated['reference_batch']}: "
        f"translated by rule {config.batch_rule!r}"
    ]
    lines += [f"  {key}: {old} -> {get(config, key)}" for key, old in stated.items()]
    return "\n".join(lines)


def text(config, stated) -> str:
    """Returns the resolved configuration, a line a key, and what was translated."""
    flat = configuration.flatten(config.to_dict())
    lines = [f"{key} = {value!r}" for key, value in flat.items()]
    return "\n".join([*lines, describe(config, stated)]).rstrip()


def as_record(config, stated) -> dict:
    """Returns what config.json holds: resolved values, and the stated ones beside."""
    return config.to_dict() | {"stated": stated}


def without_varied(config) -> config_dict.FrozenConfigDict:
    """Returns the resolved configuration but for VARIED; it can be compared."""
    shared = config_dict.ConfigDict(config.to_dict())
    shared.update_from_flattened_dict(VARIED)
    return config_dict.FrozenConfigDict(shared)
