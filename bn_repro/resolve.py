"""What a configuration means: validates it and translates it to its batch size."""

import math

from ml_collections import config_dict

from bn_repro.errors import UserError

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
CHOICES = {
    "batch_rule": tuple(RATE_FACTORS),
    "model.nonlinearity": ("sigmoid", "tanh", "relu"),
    "model.norm_placement": ("before", "after"),
    "model.dtype": ("float32", "bfloat16", "float64"),
    "model.first_conv": ("separable", "full"),
    "model.pool_proj_4cd": (128, 96),
    "model.padding": ("same", "port"),
    "data.shuffle": ("full", "shard"),
    "data.distortion": ("none", "reduced", "full"),
}
AT_LEAST = {
    "steps": 1,
    "seed": 0,
    "batch_size": 1,
    "reference_batch": 1,
    "steps_per_call": 1,
    "log_every": 1,
    "eval.every": 1,
    "eval.early_every": 0,
    "eval.early_until": 0,
    "eval.batch_size": 1,
    "eval.population_batches": 1,
    "eval.population_batches_during": 0,
    "probe.every": 0,
    "probe.log_spaced": 0,
    "probe.examples": 1,
    "probe.batch_size": 2,
    "probe.locations": 0,
    "probe.units": 0,
    "probe.bins": 1,
    "checkpoint.every": 1,
    "checkpoint.keep": 1,
    "data.seed": -1,
    "data.limit": 0,
    "data.classes": 2,
    "data.image_size": 1,
    "data.shard_size": 1,
    "data.eval_resize": 1,
    "data.workers": 0,
    "data.max_pixels": 1,
    "optimizer.warmup_steps": 0,
}
# Open below, closed above where the bound is written so: (low, high, what is accepted).
RANGES = {
    "model.dropout": (lambda v: 0 <= v < 1, "a share in [0, 1)"),
    "model.init_stddev": (lambda v: 0 <= v < math.inf, "a finite number >= 0"),
    "model.init_scale": (lambda v: 0 < v < math.inf, "a finite number > 0"),
    "model.width": (lambda v: 0 < v < math.inf, "a finite number > 0"),
    "data.threshold": (lambda v: 0 <= v < 255, "a pixel value in [0, 254]"),
    "bn.epsilon": (lambda v: 0 <= v < math.inf, "a finite number >= 0"),
    "bn.ema_decay": (lambda v: 0 < v < 1, "a share in (0, 1)"),
    "probe.saturated_slope": (lambda v: 0 <= v < 1, "a share in [0, 1)"),
    "data.max_bad_fraction": (lambda v: 0 <= v <= 1, "a share in [0, 1]"),
    "optimizer.learning_rate": (lambda v: 0 < v < math.inf, "a finite number > 0"),
    "optimizer.momentum": (lambda v: 0 <= v < 1, "a share in [0, 1)"),
    "optimizer.l2": (lambda v: 0 <= v < math.inf, "a finite number >= 0"),
    "optimizer.decay_factor": (lambda v: 0 < v <= 1, "a share in (0, 1]"),
    "optimizer.decay_epochs": (lambda v: 0 < v < math.inf, "a finite number > 0"),
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
    return resolved.lock(), stated


def validate(config) -> None:
    """Raises UserError for the first value that is not accepted."""
    for key, accepted in CHOICES.items():
        _require(config, key, get(config, key) in accepted, f"one of {accepted}")
    for key, least in AT_LEAST.items():
        _require(config, key, get(config, key) >= least, f"at least {least}")
    for key, (accepts, what) in RANGES.items():
        _require(config, key, accepts(get(config, key)), what)
    batch = config.bn.batch
    is_group = batch.isdigit() and int(batch) > 0
    _require(
        config,
        "bn.batch",
        batch in ("device", "global") or is_group,
        '"device", "global" or a number of examples such as "32"',
    )
    for key, most in (("data.crop_area", 1), ("data.crop_aspect", math.inf)):
        ends = get(config, key)
        rising = len(ends) == 2 and 0 < ends[0] <= ends[1] <= most
        _require(config, key, rising, f"(low, high) with 0 < low <= high <= {most}")
    per_activation = config.model.per_activation_last
    is_bn = config.model.norm in ("none", "batch_norm")
    what = 'False unless model.norm is "batch_norm"'
    _require(config, "model.per_activation_last", is_bn or not per_activation, what)
    hidden = config.model.hidden
    _require(config, "model.hidden", all(n > 0 for n in hidden), "numbers of units > 0")
    probed = config.probe.steps
    _require(config, "probe.steps", all(n >= 0 for n in probed), "steps >= 0")
    percentiles = config.probe.percentiles
    _require(
        config,
        "probe.percentiles",
        len(percentiles) > 0 and all(0 <= p <= 100 for p in percentiles),
        "numbers from 0 to 100",
    )


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


def as_record(config, stated) -> dict:
    """Returns what config.json holds: resolved values, and the stated ones beside."""
    return config.to_dict() | {"stated": stated}


def without_varied(config) -> config_dict.FrozenConfigDict:
    """Returns the resolved configuration but for VARIED; it can be compared."""
    shared = config_dict.ConfigDict(config.to_dict())
    shared.update_from_flattened_dict(VARIED)
    return config_dict.FrozenConfigDict(shared)


def get(config, key: str):
    """Returns the value at a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config


def _require(config, key, accepted, what):
    if not accepted:
        raise UserError(f"{key} is {get(config, key)!r}; it must be {what}")
