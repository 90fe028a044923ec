"""What a configuration means: validates it and translates it to its batch size."""

import math

from ml_collections import config_dict

from bn_repro.errors import UserError
from bn_repro.keys import get, validate
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
