"""Whether what a run folder's files hold is what a run writes there.

Each function returns the value, or raises ValueError that says what is wrong with it.
What a file may lack, since it is from before, is looked at only where it is there.
"""

from collections.abc import Mapping

import numpy as np

STATUSES = ("running", "finished", "diverged", "interrupted", "failed")
_NUMBER = (int, float)


def _schema(kinds: Mapping) -> dict:
    """Returns key -> type of type -> keys."""
    return {key: kind for kind, keys in kinds.items() for key in keys.split()}


_CONFIG = _schema(  # what readers of any run rely on
    {
        dict: "bn model data optimizer probe eval checkpoint stated",
        str: "experiment bn.batch model.name model.norm model.nonlinearity data.name",
        int: "seed steps batch_size reference_batch data.limit checkpoint.every",
        list: "model.hidden probe.percentiles",
        _NUMBER: "bn.epsilon bn.ema_decay model.dropout "
        "optimizer.learning_rate optimizer.momentum optimizer.l2",
    }
)
_STATUS = _schema({str: "status message", int: "step first_bad_step"})
_CLASSES = {"names": list, "folders": list}
_MANIFEST = _schema(
    {
        str: "command git_revision machine started ended",
        dict: "versions data_sha256 examples",
        list: "devices starts",
        int: "parameter_count",
        _NUMBER: "images_per_second",
    }
)
_EVALUATION = _schema(
    {
        list: "members",
        str: "statistics",
        int: "crops count",
        _NUMBER: "top1_error top5_error",
    }
)
_ROW = _schema({int: "step", _NUMBER: "examples seconds", str: "split statistics"})


def config(value: dict) -> dict:
    """Returns a recorded configuration."""
    if not value:
        raise ValueError("it is empty")
    return _typed(value, _CONFIG)


def status(value: dict) -> dict:
    """Returns how a run stands: {"status": one of STATUSES, "step": n, ...}."""
    _required(_typed(value, _STATUS), "status", "step")
    if value["status"] not in STATUSES:
        raise ValueError(f"status {value['status']!r} is none of {', '.join(STATUSES)}")
    if value["step"] < 0:
        raise ValueError(f"step is {value['step']}")
    return value


def classes(value: dict) -> dict:
    """Returns {"names": [...]}."""
    _required(_typed(value, _CLASSES), "names")
    if not all(isinstance(name, str) for name in value["names"]):
        raise ValueError("a name is no text")
    return value


def manifest(value: dict) -> dict:
    """Returns what a result depends on besides its configuration."""
    for start in _typed(value, _MANIFEST).get("starts", ()):
        if not isinstance(start, dict):
            raise ValueError("a start is no JSON object")
        _typed(start, {"step": int, "started": str})
    return value


def evaluation(value: dict) -> dict:
    """Returns what scripts/evaluate.py found of one or several networks."""
    optional = {"classes": int, "image_size": int, "steps": list, "bn": bool}
    _required(_typed(value, _EVALUATION | optional), *_EVALUATION)
    if not value["members"] or not all(_is(name, str) for name in value["members"]):
        raise ValueError("members are no list of names")
    if not all(_is(step, int) for step in value.get("steps", ())):
        raise ValueError("steps are no list of integers")
    return value


def row(value: dict) -> dict:
    """Returns a line of metrics.jsonl; its values are numbers, or null."""
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    _required(_typed(value, _ROW), "step")
    for key, item in value.items():
        if key not in _ROW and item is not None and not _is(item, _NUMBER):
            raise ValueError(f"{key} is {item!r}")
    return value


def arrays(value: Mapping[str, np.ndarray], constant=()) -> Mapping[str, np.ndarray]:
    """Returns arrays by name that all have an entry for each of "steps".

    Those named in `constant` have none.
    """
    steps = value["steps"]
    if steps.ndim != 1 or steps.dtype.kind not in "iu":
        raise ValueError("steps are no list of integers")
    if np.any(np.diff(steps) <= 0) or np.any(steps < 0):
        raise ValueError("steps do not rise")
    for name, array in value.items():
        if name not in constant and array.shape[:1] != steps.shape:
            raise ValueError(
                f"{name} has shape {list(array.shape)} for {len(steps)} steps"
            )
    return value


def activations(
    value: Mapping[str, np.ndarray], fields, of_network=()
) -> Mapping[str, np.ndarray]:
    """Returns the arrays of activations.npz: [T, P, units] or [T, L or 1, ...].

    `fields` are what is recorded beside the percentiles, where it is there, and
    `of_network` those of them without a layer.
    """
    arrays(value, ("layers", "percentiles"))
    layers, percentiles = value["layers"], value["percentiles"]
    if layers.ndim != 1 or layers.dtype.kind != "U":
        raise ValueError("layers are no list of names")
    if percentiles.ndim != 1 or percentiles.dtype.kind != "f":
        raise ValueError("percentiles are no list of numbers")
    expected = {str(name): len(percentiles) for name in layers}
    expected |= {name: len(layers) for name in fields if name in value}
    expected |= {name: 1 for name in of_network if name in value}
    for name, length in expected.items():
        array = value[name]
        if array.dtype.kind != "f" or array.ndim < 2 or array.shape[1] != length:
            raise ValueError(f"{name} is {array.dtype}{list(array.shape)}")
        if name not in fields and array.ndim != 3:
            raise ValueError(f"{name} is {array.dtype}{list(array.shape)}")
    return value


def _typed(value: dict, types: Mapping) -> dict:
    """Returns value, whose keys, dotted ones below, are of these types if there."""
    for key, kind in types.items():
        found = value
        for part in key.split("."):
            found = found.get(part, _ABSENT)
            if found is _ABSENT:
                break
        if found is not _ABSENT and not _is(found, kind):
            raise ValueError(f"{key} is {found!r}")
    return value


_ABSENT = object()


def _is(value, kind) -> bool:
    if kind is list:
        kind = (list, tuple)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _required(value: dict, *keys: str) -> None:
    for key in keys:
        if key not in value:
            raise ValueError(f"it lacks {key}")
