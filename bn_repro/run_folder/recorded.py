"""Recorded configurations: flat, as the user stated them, and compared."""

from collections.abc import Mapping

from bn_repro.run_folder import files


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
    return flat | flatten(files.plain(config.get("stated") or {}))


def flatten(tree: Mapping, prefix: str = "") -> dict:
    """Returns nested dicts as dotted key -> value."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
