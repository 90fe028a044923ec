"""What a config.json of any age says: its keys under today's names, as stated."""

from collections.abc import Callable, Mapping

from bn_repro.run_folder import checks, files

# A key of the configuration that came after the first records: what a record without it
# means, its default when it was introduced. Every new key comes here.
INTRODUCED = {
    "model.padding": "same",
    "model.norm_placement": "before",
    "data.max_pixels": 100_000_000,
    "eval.early_every": 0,
    "eval.early_until": 0,
    "eval.population_batches_during": 0,
    "probe.steps": [],
    "probe.measures": [],
    "probe.jacobian_layers": 0,
    "bn.gradient": "full",
    "bn.noise": 0.0,
    "eval.train": False,
    "model.precision": "default",
    "data.on_device": False,
}
# An old key: its old value -> today's keys and values.
RENAMED: dict[str, Callable] = {
    "model.norm": lambda value: {
        "before": {"model.norm": "batch_norm", "model.norm_placement": "before"},
        "after": {"model.norm": "batch_norm", "model.norm_placement": "after"},
    }.get(value, {"model.norm": value}),
}

NORM_KEYS = ("model.norm", "model.norm_placement")


def differing_keys(a: Mapping, b: Mapping) -> dict[str, tuple]:
    """Returns dotted key -> (value in a, value in b) where two configurations differ.

    A key that resolve() translated is compared, and shown, as the user stated it.
    A key that one of them lacks has None there.
    """
    a, b = stated(a), stated(b)
    keys = dict.fromkeys([*a, *b])
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def stated(config: Mapping) -> dict:
    """Returns dotted key -> value, as the user stated it before resolve()."""
    flat = flatten(files.plain({k: v for k, v in config.items() if k != "stated"}))
    return of_today(flat | flatten(files.plain(config.get("stated") or {})))


def of_today(flat: Mapping) -> dict:
    """Returns a flat configuration of any age with all keys of today."""
    today = {}
    for key, value in flat.items():
        today |= RENAMED[key](value) if key in RENAMED else {key: value}
    return today | {k: v for k, v in INTRODUCED.items() if k not in today}


def read(there: dict) -> dict:
    """Returns what a config.json of any age holds under the keys of today."""
    checks.config(there)
    flat = of_today(flatten({k: v for k, v in there.items() if k != "stated"}))
    config = {"stated": there.get("stated") or {}}
    for key, value in flat.items():
        *sections, name = key.split(".")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return config


def flatten(tree: Mapping, prefix: str = "") -> dict:
    """Returns nested dicts as dotted key -> value."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
