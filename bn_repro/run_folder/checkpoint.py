"""Checkpoints: one verified file a step, from which a run resumes bit for bit.

A file `checkpoints/00005000.npz` holds every array of the saved tree under its path,
what it is of (step, the keys that make its run, the records up to it) and a sha256 over
all of that. It is written whole (write, fsync, rename) and only trusted after its
digest, its step and its run have been checked, so a killed write, a flipped bit or a
file from elsewhere costs one checkpoint and never goes unnoticed. `weights.npz` holds
the network alone in the same form, as the run left it: what evaluation reads, and small
enough to be kept. No file holds a value that is not finite, and none with one is taken.
"""

import io
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder import files, identity

DIGEST = "sha256"
ABOUT = "identity"  # JSON; files from before have none
WEIGHTS = "weights.npz"  # in the run folder
_NOT_STATE = ("sums/",)  # metric sums, which may overflow


class DamagedError(UserError):
    """A checkpoint that is torn, not what it is named, or not finite."""


class Checkpoint(NamedTuple):
    """What a file holds."""

    step: int  # number of steps done
    arrays: dict[str, np.ndarray]  # by name
    about: dict  # "step", "run" and more, see `save`; empty in a file from before


def save(workdir, step: int, tree, keep: int, run: Mapping, **about) -> Path:
    """Writes the tree as the checkpoint of a step, removes old ones; returns the file.

    `keep` of them stay, this one included. The `identity.of` the recorded configuration
    `run` is kept in it, and `about`: what else is to be known of it, as JSON.

    Raises:
      UserError: the file cannot be written, or a value is not finite; older checkpoints
        are untouched.
    """
    path = path_of(workdir, step)
    with files.naming(path.parent, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write(path, tree, np.savez, about={"step": step, "run": identity.of(run)} | about)
    older = [n for n in steps(workdir) if n < step]
    for old in older[keep - 1 :]:
        path_of(workdir, old).unlink(missing_ok=True)
    return path


def save_weights(workdir, variables, step: int, run: Mapping) -> Path:
    """Writes params, batch_stats and ema_count as the run's weights; returns the file.

    Raises:
      UserError: the file cannot be written, or a value is not finite.
    """
    path = Path(workdir) / WEIGHTS
    write(path, variables, about={"step": step, "run": identity.of(run)})
    return path


def latest(workdir, run: Mapping) -> Checkpoint | None:
    """Returns the newest checkpoint that is of this run and verifies, or None.

    Damaged ones are named in a warning and passed over.

    Raises:
      UserError: there are checkpoints, but none can be taken.
    """
    errors = []
    for step in steps(workdir):
        try:
            return load(path_of(workdir, step), run, step)
        except DamagedError as error:
            logging.warning("%s; trying the one before it", error)
            errors.append(error)
    if errors:
        raise UserError(
            f"no checkpoint in {_folder(workdir)} can be taken ({errors[0]}); "
            f"put a copy back, or start anew with --restart"
        )
    return None


def load(path, run: Mapping, step: int | None = None) -> Checkpoint:
    """Returns a checkpoint or weights, verified to be of a run and a step.

    `step` None: of any step.

    Raises:
      DamagedError: it is not what it should be.
    """
    arrays, of = _read(path)
    if not of:
        logging.warning(
            "%s is from before checkpoints named their run: it cannot be checked that "
            "it is of this one, and is taken",
            path,
        )
    there = of.get("step", arrays.get("state/step", step))
    if step is not None and there != step:
        raise DamagedError(f"checkpoint {path} is not of step {step} but of {there}")
    if of and (other := identity.differing(of["run"], identity.of(run))):
        raise DamagedError(f"checkpoint {path} is of another run ({other})")
    return Checkpoint(int(there or 0), arrays, of)


def about(path, name: str = ABOUT) -> dict:
    """Returns what a file says it is of; {} if it cannot be read or is from before.

    `name` is that of the array that says it, in JSON.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(json.loads(str(content[name])))
    except Exception:  # see `_read`
        return {}


def read(path) -> dict[str, np.ndarray]:
    """Returns the arrays of one checkpoint by name, verified; DamagedError if not."""
    return _read(path)[0]


def _read(path) -> tuple[dict[str, np.ndarray], dict]:
    """Returns (arrays by name, what they are of)."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
    except FileNotFoundError as error:
        if not Path(path).is_symlink():
            raise UserError(f"there is no checkpoint {path}") from error
        raise DamagedError(f"checkpoint {path} is a link to nothing") from error
    except Exception as error:  # a damaged zip file raises a dozen kinds
        raise DamagedError(f"checkpoint {path} is damaged: {error}") from error
    if str(arrays.pop(DIGEST, "")) != files.digest(arrays):
        raise DamagedError(f"checkpoint {path} is damaged: its sha256 does not match")
    if name := not_finite(arrays):
        raise DamagedError(f"checkpoint {path} is unusable: {name} is not finite")
    return arrays, json.loads(str(arrays.pop(ABOUT, "{}")))


def restore(template, arrays: dict[str, np.ndarray], fields=()):
    """Returns the template's tree with the saved arrays as leaves.

    `fields` are paths into the tree, such as "state/step". Where no array lies at or
    below one, it is younger than the checkpoint and stays as in the template.

    Raises:
      UserError: an array is missing, is one too many or has another shape or dtype;
        names it.
    """
    import jax  # here, so that a folder can be checked without it

    below = {f: [n for n in arrays if f"{n}/".startswith(f"{f}/")] for f in fields}
    younger = tuple(f"{field}/" for field, names in below.items() if not names)

    known = set()

    def leaf(path, like):
        name = _name(path)
        known.add(name)
        if f"{name}/".startswith(younger):
            return like
        saved = arrays.get(name)
        if saved is None:
            raise UserError(f"the checkpoint lacks {name}: it is of another network")
        if saved.shape != like.shape or saved.dtype != like.dtype:
            raise UserError(
                f"{name} is {saved.dtype}{list(saved.shape)} in the checkpoint but "
                f"{like.dtype}{list(like.shape)} in the network"
            )
        return saved

    tree = jax.tree_util.tree_map_with_path(leaf, template)
    if others := sorted(arrays.keys() - known):
        raise UserError(
            f"the checkpoint holds {others[0]}, which the network lacks: it is of "
            f"another network"
        )
    return tree


def write(
    path: Path, tree, savez=np.savez_compressed, about: Mapping | None = None
) -> None:
    """Writes the arrays of a tree with their digest; `read` returns them by name.

    Raises:
      UserError: the file cannot be written, or a value is not finite.
    """
    arrays = arrays_of(tree)
    if name := not_finite(arrays):
        raise UserError(f"{path} is not written: {name} is not finite")
    if about:
        arrays[ABOUT] = np.array(json.dumps(files.plain(about)))
    buffer = io.BytesIO()
    savez(buffer, **arrays, **{DIGEST: np.array(files.digest(arrays))})
    files.write_atomically(path, buffer.getvalue())


def not_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Returns the name of the first array of the state that is not finite, if any."""
    for name, array in arrays.items():
        number = array.dtype.kind in "fc" and not name.startswith(_NOT_STATE)
        if number and not np.isfinite(array).all():
            return name
    return None


def arrays_of(tree) -> dict[str, np.ndarray]:
    """Returns the arrays of a tree by path, like "params/conv1/kernel", on the host."""
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    return {_name(path): np.asarray(leaf) for path, leaf in leaves}


def _name(path) -> str:
    import jax

    return jax.tree_util.keystr(path, simple=True, separator="/")


def steps(workdir) -> list[int]:
    """Returns the steps that a run folder has checkpoints of, the newest first."""
    named = re.compile(r"[0-9]{8,}\.npz")
    found = [p for p in _folder(workdir).glob("*.npz") if named.fullmatch(p.name)]
    return sorted((int(path.stem) for path in found), reverse=True)


def path_of(workdir, step: int) -> Path:
    """Returns the file of a step's checkpoint."""
    return _folder(workdir) / f"{step:08d}.npz"


def _folder(workdir) -> Path:
    return Path(workdir) / "checkpoints"
