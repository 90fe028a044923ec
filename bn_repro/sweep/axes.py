"""A sweep from the command line: `--axis KEY=VALUES`, every value with every other.

VALUES are a list, 0.01,0.1,1; whole numbers START:STOP, the last left out, as in
seed=0:5; or HOW_MANY numbers from FIRST to LAST, 1e-3:10:9log or 0:1:5lin.
"""

import ast
import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from bn_repro.arguments import did_you_mean
from bn_repro.errors import UserError

_SPAN = re.compile(r"([^:]+):([^:]+):(\d+)(log|lin)")
_RANGE = re.compile(r"(-?\d+):(-?\d+)")
_SWITCH = {"true": True, "false": False}


def product(axes: Sequence[str], keys: Mapping[str, object]) -> dict[str, dict]:
    """Returns name -> {key: value}, a run for each choice of a value on every axis.

    Args:
      axes: KEY=VALUES, see above; the last one varies fastest.
      keys: the configuration's dotted keys and what they hold, which says of what type
        an axis' values are.

    Raises:
      UserError: an axis that cannot be read, of no key, given twice or without a value.
    """
    values = {}
    for axis in axes:
        key, equals, text = axis.partition("=")
        if not equals or key not in keys:
            meant = did_you_mean(key, keys) if equals else ""
            example = "; for example --axis optimizer.learning_rate=0.01,0.1"
            what = f"the config has no key {key}" if equals else "it has no ="
            raise UserError(f"--axis {axis}: {what}{meant or example}")
        if key in values:
            raise UserError(f"--axis {key} is given twice")
        values[key] = _values(axis, text, keys[key])
    chosen = itertools.product(*values.values())
    runs = [dict(zip(values, run, strict=True)) for run in chosen]
    return {name(run): run for run in runs}


def name(chosen: Mapping[str, object]) -> str:
    """Returns the run's name: norm_none_learning_rate0.1_seed0."""
    parts = []
    for key, value in chosen.items():
        between = "_" if isinstance(value, str) else ""
        parts.append(f"{key.rpartition('.')[2]}{between}{_plain(value)}")
    return "_".join(parts)


def _values(axis: str, text: str, like) -> list:
    """Returns the values of one axis, each once, as the type of the key's value."""
    try:
        found = [_typed(value, like) for value in _spelled_out(text, like)]
    except (ValueError, SyntaxError, TypeError) as error:
        kinds = f"{type(like).__name__}s"
        if isinstance(like, int | float) and not isinstance(like, bool):
            kinds += ", or FIRST:LAST:HOW_MANY followed by log or lin"
        raise UserError(f"--axis {axis}: {error}; its values are {kinds}") from error
    if not found:
        raise UserError(f"--axis {axis} has no value")
    if len(set(map(_plain, found))) < len(found):
        raise UserError(f"--axis {axis} has a value twice")
    return found


def _spelled_out(text: str, like) -> list:
    if isinstance(like, str):
        return [value.strip() for value in text.split(",")]
    if span := _SPAN.fullmatch(text):
        first, last, count = float(span[1]), float(span[2]), int(span[3])
        if span[4] == "log" and not min(first, last) > 0:
            raise ValueError("a log scale is of positive numbers")
        space = np.geomspace if span[4] == "log" else np.linspace
        return [f"{v:.6g}" for v in space(first, last, count)]
    if whole := _RANGE.fullmatch(text):
        return list(range(int(whole[1]), int(whole[2])))
    if isinstance(like, tuple):  # (100,100),(50,)
        found = ast.literal_eval(f"[{text}]")
        return found if all(isinstance(v, tuple) for v in found) else [tuple(found)]
    return [value.strip() for value in text.split(",") if value.strip()]


def _typed(value, like):
    if isinstance(like, bool):
        if str(value).lower() not in _SWITCH:
            raise ValueError(f"{value!r} is neither true nor false")
        return _SWITCH[str(value).lower()]
    if isinstance(like, int):
        number = float(value)
        if not number.is_integer():
            raise ValueError(f"{value!r} is no whole number")
        return int(value) if str(value).lstrip("+-").isdigit() else int(number)
    return type(like)(value)


def _plain(value) -> str:
    """Returns a value as part of a folder's name."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    sign = "-" if text.startswith("-") else ""
    return sign + re.sub(r"[^\w.+-]+", "-", text).strip("-")
