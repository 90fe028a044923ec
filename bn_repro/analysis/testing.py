"""Run folders with made-up numbers in the shape of Fig. 1, for tests and layout."""

from pathlib import Path

import numpy as np

from bn_repro.run_folder import records

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
) -> records.RunWriter:
    """Writes a run that did `done` of its steps (all of them unless told)."""
    done = steps if done is None else done
    writer = records.RunWriter(path)
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


def write_metrics(writer: records.RunWriter, step: int, value: float) -> None:
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


def write_probe(writer: records.RunWriter, step: int, norm: str, seed: int) -> None:
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
    accuracies: list[float],
    status: str = "finished",
    *,
    every: int = 250,
    steps: int = 3000,
    seed: int = 0,
    split: str = "val",
    **overrides,
) -> None:
    """Writes a run of Inception with these accuracies, an evaluation `every` steps.

    Args:
      path: the run's folder.
      accuracies: on 5,000 pictures with moving averages, from step 0 on.
      status: how the run stands.
      every: steps between evaluations.
      steps: that the configuration asks for.
      seed: of the configuration.
      split: held-out split.
      **overrides: of the configuration, section__key=value.
    """
    values = config("before", seed, steps)
    values |= {"experiment": "tiny_imagenet", "batch_size": 32}
    values["model"] |= {"name": "inception", "nonlinearity": "relu", "width": 0.25}
    values["data"] = {"name": "imagenet", "classes": 100, "image_size": 64, "limit": 0}
    for key, value in overrides.items():
        section, name = key.split("__")
        values[section][name] = value
    writer = records.RunWriter(path)
    writer.write_config(values)
    for i, accuracy in enumerate(accuracies):
        step = every * i
        row = {"step": step, "examples": 32 * step, "seconds": step / 10}
        row |= {"split": split, "statistics": "ema", "accuracy": accuracy}
        writer.append_metrics(row | {"loss": 1.0, "count": 5000})
    done = every * (len(accuracies) - 1)
    extra = {"first_bad_step": done + 7} if status == "diverged" else {}
    writer.write_status(status, done, **extra)


def write_seeds(
    folder: Path,
    norm: str,
    rate: float,
    finals: list[float],
    status: str = "finished",
    **overrides,
) -> None:
    """Writes a run of a rate for each seed, with accuracies that end at `finals`.

    Args:
      folder: of the run folders.
      norm: "none" or "before".
      rate: learning rate.
      finals: [seeds]; 0.05 less comes before, and 0.01 more.
      status: of all of them.
      **overrides: of the configuration, section__key=value.
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
