"""Every configuration key: its type, and what it accepts.

`configs.common` has the defaults and meanings, `resolve` what must hold between keys.
Real numbers have to be ones of float32, which is what they are computed in: 1e-60 would
be 0 there and 1e39 infinity.
"""

import numbers
import re
from collections.abc import Callable
from typing import NamedTuple

from bn_repro.errors import UserError

INT32 = 2**31 - 1
SEEDS = 2**32 - 1  # JAX drops the bits above, and the seed would repeat another
SMALLEST, LARGEST = 1.1754944e-38, 3.4028235e38  # of float32
MNIST_EXAMPLES, MNIST_SIZE = 60_000, 28


class Key(NamedTuple):
    """What a key accepts."""

    type: type  # of its value, or of each of a tuple's
    accepts: Callable[[object], bool]  # whether a value of that type is accepted
    what: str  # the same in words
    is_tuple: bool = False  # several values; `accepts` then takes all of them

    def refusal(self, value) -> str:
        """Returns what is accepted instead of a value, or "" if that is."""
        values = value if self.is_tuple else (value,)
        typed = isinstance(values, tuple | list) and all(map(self._is_typed, values))
        return "" if typed and self.accepts(value) else self.what

    def _is_typed(self, value) -> bool:
        if self.type in (str, bool):
            return isinstance(value, self.type)
        kind = numbers.Integral if self.type is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool)


def whole(least: int, most: int = INT32) -> Key:
    """Returns a key of whole numbers from least to most."""
    bound = f"at least {least}" if most == INT32 else f"from {least} to {most}"
    return Key(int, lambda v: least <= v <= most, f"a whole number, {bound}")


def real(holds: Callable[[float], bool], what: str) -> Key:
    """Returns a key of float32 numbers."""

    def accepts(value):
        fits = value == 0 or SMALLEST <= abs(value) <= LARGEST
        return fits and holds(value)

    return Key(float, accepts, what)


def one_of(*values) -> Key:
    """Returns a key of some values of one type."""
    return Key(type(values[0]), lambda v: v in values, f"one of {values}")


def text(pattern: str, what: str) -> Key:
    """Returns a key of strings."""
    return Key(str, lambda v: bool(re.fullmatch(pattern, v, re.ASCII)), what)


def several(kind: type, accepts: Callable, what: str) -> Key:
    """Returns a key of a tuple."""
    return Key(kind, accepts, what, is_tuple=True)


def _span(most: float) -> Key:
    def accepts(ends):
        return len(ends) == 2 and SMALLEST <= ends[0] <= ends[1] <= most

    return several(float, accepts, f"(low, high) with 0 < low <= high <= {most}")


NAME = text(r"\w[\w.-]*", "a name of letters, digits, '_', '-' and '.'")
FLAG = Key(bool, lambda v: True, "True or False")
PATH = Key(str, lambda v: "\0" not in v, "a path")
POSITIVE = real(lambda v: v > 0, "a number > 0 that float32 can hold")
NOT_NEGATIVE = real(lambda v: v >= 0, "a number >= 0 that float32 can hold")
SHARE = real(lambda v: 0 <= v <= 1, "a share in [0, 1]")
BELOW_1 = real(lambda v: 0 <= v < 1, "a share in [0, 1)")
MANY = 1_000_000  # of what is allocated at once

KEYS = {
    "experiment": NAME,
    "seed": whole(0, SEEDS),
    "steps": whole(1),
    "batch_size": whole(1),
    "reference_batch": whole(1),
    "batch_rule": one_of("linear", "sqrt", "none"),
    "steps_per_call": whole(1, MANY),
    "log_every": whole(1),
    "tensorboard": FLAG,
    "model.name": NAME,  # of models.MODELS
    "model.nonlinearity": one_of("sigmoid", "tanh", "relu"),
    "model.norm": NAME,  # of models.NORMS
    "model.norm_placement": one_of("before", "after"),
    "model.dropout": BELOW_1,
    "model.dtype": one_of("float32", "bfloat16", "float64"),
    "model.precision": one_of("default", "highest"),
    "model.hidden": several(
        int,
        lambda v: len(v) > 0 and all(0 < n <= MANY for n in v),
        f"one or more numbers of units from 1 to {MANY}",
    ),
    "model.init_stddev": POSITIVE,
    "model.init_scale": POSITIVE,
    "model.width": real(lambda v: 0 < v <= 100, "a number in (0, 100]"),
    "model.first_conv": one_of("separable", "full"),
    "model.pool_proj_4cd": one_of(128, 96),
    "model.padding": one_of("same", "port"),
    "model.lrn": FLAG,
    "model.per_activation_last": FLAG,
    "bn.batch": text(
        "device|global|[1-9][0-9]{0,9}",
        '"device", "global" or a number of examples such as "32"',
    ),
    "bn.epsilon": NOT_NEGATIVE,
    "bn.ema_decay": Key(float, lambda v: 0 < v < 1, "a share in (0, 1)"),
    "bn.bias_correction": FLAG,
    "bn.biased": FLAG,
    "bn.gradient": one_of("full", "stop"),
    "bn.noise": real(lambda v: 0 <= v <= 10, "a number from 0 to 10"),
    "data.name": NAME,  # of data.SOURCES
    "data.source": NAME,  # of that data set's
    "data.dir": PATH,
    "data.train": PATH,
    "data.val": PATH,
    "data.on_device": FLAG,
    "data.limit": whole(0),
    "data.classes": whole(2, MANY),
    "data.seed": whole(-1, SEEDS),
    "data.threshold": whole(0, 254),
    "data.image_size": whole(1, 10_000),
    "data.shuffle": one_of("full", "shard"),
    "data.shard_size": whole(1),
    "data.distortion": one_of("none", "reduced", "full"),
    "data.crop_area": _span(1),
    "data.crop_aspect": _span(1000),
    "data.flip": FLAG,
    "data.eval_resize": whole(0, 12_000),
    "data.workers": whole(0, 1024),
    "data.max_bad_fraction": SHARE,
    "data.max_pixels": whole(1, 2**40),
    "optimizer.learning_rate": POSITIVE,
    "optimizer.momentum": BELOW_1,
    "optimizer.l2": NOT_NEGATIVE,
    "optimizer.decay_factor": real(lambda v: 0 < v <= 1, "a share in (0, 1]"),
    "optimizer.decay_epochs": POSITIVE,
    "optimizer.warmup_steps": whole(0),
    "eval.every": whole(1),
    "eval.early_every": whole(0),
    "eval.early_until": whole(0),
    "eval.batch_size": whole(1, MANY),
    "eval.batch_statistics": FLAG,
    "eval.train": FLAG,
    "eval.population_batches": whole(1),
    "eval.population_batches_during": whole(0),
    "probe.every": whole(0),
    "probe.steps": several(
        int, lambda v: all(0 <= n <= INT32 for n in v), "whole numbers of steps >= 0"
    ),
    "probe.log_spaced": whole(0, MANY),
    "probe.examples": whole(1),
    "probe.batch_size": whole(2),
    "probe.percentiles": several(
        float,
        lambda v: (
            len(v) > 0 and all(0 <= p <= 100 for p in v) and list(v) == sorted({*v})
        ),
        "rising numbers from 0 to 100",
    ),
    "probe.locations": whole(0),
    "probe.units": whole(0),
    "probe.bins": whole(1, 10_000),
    "probe.saturated_slope": BELOW_1,
    "probe.measures": several(str, lambda v: True, "names, each in quotes"),
    "probe.jacobian_layers": Key(
        int, lambda v: v == 0 or 2 <= v <= INT32, "0, or a whole number of at least 2"
    ),
    "checkpoint.every": whole(1),
    "checkpoint.keep": whole(1),
}

PACKAGED = frozenset(KEYS)  # others are of one's own models and data sets


def get(config, key: str):
    """Returns the value at a dotted key; UserError if there is none."""
    value = config
    for part in key.split("."):
        try:
            value = value[part]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"the config lacks {key}; begin with configs.common.get_config()"
            ) from error
    return value


def shown(config, key: str) -> str:
    """Returns the value at a dotted key as a message shows it."""
    text = " ".join(repr(get(config, key)).split())  # a section's has lines
    return text if len(text) <= 100 else f"{text[:100]}..."
