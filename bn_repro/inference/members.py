"""Trained networks read back from their run folders."""

import os
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import config_dict

from bn_repro import config_files, keys, models
from bn_repro.data.classes import Classes
from bn_repro.errors import UserError
from bn_repro.resolve import UNREAD, resolve
from bn_repro.run_folder import checkpoint, configuration, files, records


class Member(NamedTuple):
    """One trained network."""

    name: str  # of its run folder
    path: Path  # the run folder
    config: config_dict.ConfigDict  # its resolved configuration
    variables: dict  # params, and batch_stats and ema_count where it has them
    step: int  # steps that it was trained for
    classes: Classes = Classes(())  # as far as the run recorded them


def load(
    workdir: str | os.PathLike,
    defaults: config_dict.ConfigDict | None = None,
    overrides: dict | None = None,
) -> Member:
    """Returns the network that a run folder holds.

    One of model.dtype "float64" switches JAX to 64 bits, as training it does.

    Args:
      workdir: the run folder; its weights.npz is read, or else its newest checkpoint.
      defaults: ConfigDict with every key, since a run may be older than some of them;
        None: that of configs/common.py.
      overrides: dotted key -> value, such as where the pictures lie on this machine:
        those are read then, even if the run was trained from TFDS.

    Raises:
      UserError: it is no run folder, holds no network, or one that is damaged, of
        another architecture or not finite; names the folder.
    """
    run = records.read_run(workdir)
    defaults = defaults or config_files.load("common")
    config = config_of(run.config, defaults, overrides or {})
    try:
        step, arrays = _arrays(run)
        template = models.shapes(config)
        variables = checkpoint.restore(template, arrays)
    except UserError as error:
        raise UserError(f"{workdir}: {error}") from error
    if config.model.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    classes = Classes(tuple(run.class_names), tuple(run.class_folders))
    if classes.names and len(classes.names) != config.data.classes:
        raise UserError(
            f"{workdir}: classes.json names {len(classes.names)} classes, but the "
            f"network has {config.data.classes}; remove the file if it is another run's"
        )
    return Member(run.name, Path(workdir), config, variables, step, classes)


def config_of(there: dict, defaults, overrides: dict):
    """Returns the resolved configuration of config.json, with overrides."""
    config = config_dict.ConfigDict(defaults.to_dict())
    flat = configuration.flatten({k: v for k, v in there.items() if k != "stated"})
    flat |= dict.fromkeys(UNREAD.get(flat.get("data.source"), ()), "")  # once taken
    known = {*configuration.flatten(config.to_dict()), *keys.KEYS}
    try:
        config.update_from_flattened_dict({k: v for k, v in flat.items() if k in known})
    except (TypeError, KeyError) as error:  # a value of another type
        raise UserError(f"the recorded configuration is damaged: {error}") from error
    if config.data.source == "tfds" and overrides.keys() & UNREAD["tfds"]:
        overrides = {"data.source": "image_folder", "data.dir": ""} | overrides
    config.update_from_flattened_dict(overrides)
    return resolve(config)[0]


def _arrays(run) -> tuple[int, dict]:
    """Returns (steps done, arrays by name) of a run's weights or checkpoint.

    The weights of a run that goes on after its end are from before.
    """
    file, step = run.path / checkpoint.WEIGHTS, run.status["step"]
    ended = run.status["status"] in records.ENDED
    if file.is_file() and (ended or not checkpoint.steps(run.path)):
        return step, checkpoint.load(file, run.config, step).arrays
    found = checkpoint.latest(run.path, run.config)
    if found is None:
        raise UserError(
            f"there is neither {checkpoint.WEIGHTS} nor a checkpoint; train it first"
        )
    step, saved, _ = found
    prefixes = ("state/params/", "state/batch_stats/", "state/ema_count/")
    kept = [name for name in saved if name.startswith(prefixes)]
    return step, {name.removeprefix("state/"): saved[name] for name in kept}


def fingerprint(member: Member) -> str:
    """Returns a digest of a member's weights and statistics."""
    return files.digest(checkpoint.arrays_of(member.variables))
