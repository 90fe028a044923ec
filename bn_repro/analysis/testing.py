"""Run folders with made-up numbers in the shape of Fig. 1, for tests and layout."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bn_repro.run_folder.writer import RunWriter

LAYERS = {"hidden_1": 20, "hidden_2": 20, "hidden_3": 20}
PERCENTILES = (15.0, 50.0, 85.0)


def write_figure1(root: Path, seeds: int = 2, steps: int = 50_000) -> Path:
    """Writes runs named like those of configs/mnist.py below `root`; returns it."""
    for seed in range(seeds):
        write_run(root / f"plain_seed{seed}", "none", seed, steps)
        write_run(root / f"bn_seed{seed}", "before", seed, steps)
    return root


def write_run(
    path: Path,
    norm: str = "before",
    seed: int = 0,
    steps: int = 50_000,
    status: str = "finished",
    done: int | None = None,
    **overrides,
) -> RunWriter:
    """Writes a run that did `done` of its steps (all of them unless told)."""
    done = steps if done is None else done
    writer = RunWriter(path)
    writer.write_config(config(norm, seed, steps) | overrides)
    versions = {"python": "3.11.7", "jax": "0.10.1", "bn_repro": "0.1.0"}
    writer.write_manifest(
        {
            "command": "python scripts/train.py --config configs/mnist.py",
            "git_revision": "0123456789abcdef",
            "git_dirty": False,
            "versions": versions,
            "devices": ["cpu"],
            "seed": seed,
            "parameter_count": 99_710,
            "images_per_second": 123_456.7,
        }
    )
    rng = np.random.default_rng([seed, norm == "none"])
    offset = rng.normal(scale=0.002)
    for step in range(0, done + 1, 500):
        write_metrics(writer, step, accuracy(norm, step) + offset)
    for step in range(0, done + 1, 1000):
        write_probe(writer, step, norm, seed)
    extra = {"first_bad_step": done + 1} if status == "diverged" else {}
    writer.write_status(status, done, **extra)
    return writer


def config(norm: str, seed: int, steps: int) -> dict:
    """Returns the keys of the MNIST configuration that analysis looks at."""
    return {
        "experiment": "mnist",
        "seed": seed,
        "steps": steps,
        "batch_size": 60,
        "model": {
            "name": "mlp",
            "norm": norm,
            "nonlinearity": "sigmoid",
            "hidden": [20, 20, 20],
            "init_stddev": 0.1,
        },
        "bn": {"batch": "global"},
        "data": {"name": "mnist", "classes": 10, "image_size": 28, "limit": 0},
        "optimizer": {"learning_rate": 0.01, "momentum": 0.0},
    }


def accuracy(norm: str, step: int) -> float:
    """Returns a curve that rises late without BN and early with it."""
    if norm == "none":
        return 0.1 + 0.84 / (1 + np.exp((15_000 - step) / 3_000))
    return 0.975 - 0.875 * np.exp(-step / 700)


def write_metrics(writer: RunWriter, step: int, value: float) -> None:
    """Appends the training record and both evaluations of one step."""
    common = {"step": step, "examples": 60 * step, "seconds": step / 1000}
    loss = -np.log(value)
    for split, statistics, gap in (
        ("train", "batch", 0.0),
        ("test", "ema", 0.001),
        ("test", "batch", 0.0),
    ):
        row = {"split": split, "statistics": statistics, "loss": loss}
        writer.append_metrics(common | row | {"accuracy": value + gap, "count": 10_000})


def write_probe(writer: RunWriter, step: int, norm: str, seed: int) -> None:
    """Appends percentiles that wander far without BN and little with it."""
    rng = np.random.default_rng(seed)
    speed = 1.5 if norm == "none" else 0.4
    arrays = {}
    for layer, units in LAYERS.items():
        direction = rng.normal(size=units)
        median = speed * direction * np.sqrt(step / 50_000)
        half = 0.5 + 0.5 * np.abs(direction) * speed * step / 50_000
        arrays[layer] = np.stack([median - half, median, median + half])
    layers = len(arrays)
    writer.append_activations(
        step,
        arrays,
        percentiles=PERCENTILES,
        gradient_norm=np.full(layers, 0.1),
        saturated=np.zeros(layers),
        input_histogram=np.full((layers, 8), 1 / 8),
        output_histogram=np.full((layers, 8), 1 / 8),
        input_range=np.tile([-3.0, 3.0], (layers, 1)),
        output_range=np.tile([0.0, 1.0], (layers, 1)),
    )


def write_course(
    path: Path,
    accuracies: list[float],  # on 5,000 pictures, from step 0 on
    status: str = "finished",
    *,
    every: int = 250,
    at: Sequence[int] | None = None,  # steps of the evaluations, in place of `every`
    steps: int = 3000,  # that the configuration asks for
    seed: int = 0,
    split: str = "val",
    statistics: Sequence[str] = ("ema",),  # with any but the first 0.01 higher
    hits: np.random.Generator | None = None,  # draws which pictures are right
    **overrides,  # of the configuration, section__key=value
) -> None:
    """Writes a run of Inception with these accuracies, an evaluation `every` steps."""
    values = config("before", seed, steps)
    values |= {"experiment": "tiny_imagenet", "batch_size": 32}
    values["model"] |= {"name": "inception", "nonlinearity": "relu", "width": 0.25}
    values["data"] = {"name": "imagenet", "classes": 100, "image_size": 64, "limit": 0}
    for key, value in overrides.items():
        section, name = key.split("__")
        values[section][name] = value
    writer = RunWriter(path)
    writer.write_config(values)
    at = [every * i for i in range(len(accuracies))] if at is None else at
    for step, accuracy in zip(at, accuracies, strict=True):
        common = {"step": step, "examples": 32 * step, "seconds": step / 10}
        for kind in statistics:
            shown = accuracy + 0.01 * (kind != statistics[0])
            row = {"split": split, "statistics": kind, "accuracy": shown}
            writer.append_metrics(common | row | {"loss": 1.0, "count": 5000})
        if hits is not None and step >= at[-1]:
            right = hits.random(5000) < shown
            writer.append_hits(step, {f"{split}/{kind}": right for kind in statistics})
    done = at[-1] if len(at) else 0
    extra = {"first_bad_step": done + 7} if status == "diverged" else {}
    writer.write_status(status, done, **extra)


# Networks of configs/tiny_imagenet.py, made up: steps, seeds, and how the accuracy
# rises: plateau and time constant.
NETWORKS = {
    "inception": (80_000, 3, 0.25, 14_000),
    "bn_baseline": (60_000, 3, 0.29, 4_500),
    "bn_x5": (16_000, 5, 0.30, 1_500),
    "bn_x30": (16_000, 5, 0.33, 2_600),
    "bn_x5_sigmoid": (16_000, 5, 0.23, 2_500),
    "inception_x5": (10_000, 3, 0.2, 5_000),
    "inception_sigmoid": (16_000, 3, 0.01, 1),
}


def write_networks(root: Path, names: Sequence[str] = tuple(NETWORKS)) -> Path:
    """Writes seeds of the networks of Figs. 2 and 3 below `root`; returns it.

    Named and as long as in configs/tiny_imagenet.py, evaluated as often, with
    population statistics too where there is BN, and with hits.
    """
    for name in names:
        for seed in range(NETWORKS[name][1]):
            _write_seed(root, name, seed)
    return root


def _write_seed(root: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(name), *map(ord, name)])
    steps, _, plateau, time = NETWORKS[name]
    steps = 5_000 if name == "inception_sigmoid" and seed else steps
    kinds = {True: ("ema", "population"), False: ("ema",)}[name.startswith("bn")]
    values = {
        "model__norm": "before" if len(kinds) > 1 else "none",
        "model__nonlinearity": "sigmoid" if "sigmoid" in name else "relu",
        "optimizer__learning_rate": 0.0075 * (30 if "30" in name else 5),
    }
    if name in ("inception", "bn_baseline", "inception_sigmoid"):
        values["optimizer__learning_rate"] = 0.0075
    at = sorted({*range(0, min(steps, 8000) + 1, 250), *range(0, steps + 1, 1000)})
    time *= np.exp(0.08 * rng.normal())
    exact = 0.01 + (plateau - 0.01) * -np.expm1(-np.array(at) / time)
    noise = 2.5 * np.sqrt(exact * (1 - exact) / 5000) * rng.normal(size=len(at))
    noisy = np.round(5000 * np.maximum(exact + noise * (plateau > 0.01), 0)) / 5000
    write_course(
        root / f"{name}_seed{seed}",
        list(noisy),
        at=at,
        steps=steps,
        seed=seed,
        statistics=kinds,
        hits=rng,
        **values,
    )


def write_seeds(
    folder: Path,
    norm: str,
    rate: float,
    finals: list[float],
    status: str = "finished",
    **overrides,
) -> None:
    """Writes a run of a rate for each seed, with accuracies that end at `finals`.

    Accuracy 0.05 less comes before the final one, and 0.01 more at its best.
    """
    values = {"data__name": "mnist", "data__classes": 10, "model__name": "mlp"}
    values |= {"optimizer__learning_rate": rate, "model__norm": norm, **overrides}
    arm = {"none": "plain", "before": "bn"}[norm]
    for seed, final in enumerate(finals):
        write_course(
            folder / f"{arm}_lr{rate:g}_{len(overrides)}_{status}_seed{seed}",
            [0.1, final - 0.05, final + 0.01, final],
            status,
            seed=seed,
            split="test",
            **values,
        )
