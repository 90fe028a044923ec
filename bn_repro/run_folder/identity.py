"""Which keys of a configuration make its run: two that agree in them take one path."""

from collections.abc import Mapping

from bn_repro.run_folder import configuration

# What a run may be resumed with another value of: it changes no step of the training.
# A name that ends in a dot stands for all below it.
FREE = (
    "steps",
    "log_every",
    "steps_per_call",
    "tensorboard",
    "eval.",
    "probe.",  # until there are probes, see `resume.PROBED_ANYHOW`
    "checkpoint.",
    "data.workers",
    "data.dir",
    "data.train",
    "data.val",
    "data.eval_resize",
    "data.max_bad_fraction",
)


def of(config: Mapping) -> dict:
    """Returns dotted key -> value, as stated, of the keys that make a run."""
    parts = tuple(name for name in FREE if name.endswith("."))
    stated = configuration.stated(config)
    free = {key for key in stated if key in FREE or key.startswith(parts)}
    return {key: value for key, value in stated.items() if key not in free}


def differing(a: Mapping, b: Mapping) -> str:
    """Returns which keys make two runs different and how, or "" if none does.

    `a` is the identity (see `of`) of the recorded run, `b` that of the run now. A key
    that one of them is too old to have counts with the value that such a run had.
    """
    a, b = configuration.of_today(a), configuration.of_today(b)
    return "; ".join(
        f"{key}: {a.get(key)!r} there, {b.get(key)!r} now"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    )
