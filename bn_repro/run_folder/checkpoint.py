"""Checkpoints: one verified file a step, from which a run resumes bit for bit.

A file `checkpoints/00005000.npz` holds every array of the saved tree under its path and
a sha256 over all of them. It is written whole (write, fsync, rename) and only trusted
after its digest has been checked, so a killed write or a flipped bit costs one
checkpoint and never goes unnoticed. `weights.npz` holds the network alone in the same
form, as the run left it: what evaluation reads, and small enough to be kept.
"""

import hashlib
import io
import logging
from pathlib import Path

import jax
import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder import files

DIGEST = "sha256"
WEIGHTS = "weights.npz"  # in the run folder


class DamagedError(UserError):
    """A checkpoint that is torn or whose digest does not match."""


def save(workdir, step: int, tree, keep: int) -> Path:
    """Writes the tree as the checkpoint of a step and removes all but the newest.

    Args:
      workdir: the run folder.
      step: number of steps done.
      tree: pytree of arrays.
      keep: how many checkpoints stay.

    Returns:
      The file.

    Raises:
      UserError: the file cannot be written; older checkpoints are untouched.
    """
    path = _folder(workdir) / f"{step:08d}.npz"
    with files.naming(path.parent, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write(path, tree, np.savez)
    for old in _newest_first(workdir)[keep:]:
        old.unlink(missing_ok=True)
    return path


def save_weights(workdir, variables) -> Path:
    """Writes params, batch_stats and ema_count as the run's weights; returns the file.

    Raises:
      UserError: the file cannot be written.
    """
    path = Path(workdir) / WEIGHTS
    write(path, variables)
    return path


def latest(workdir) -> tuple[int, dict] | None:
    """Returns (step, arrays by name) of the newest checkpoint that verifies, or None.

    Damaged ones are named in a warning and passed over.

    Raises:
      UserError: there are checkpoints, but all of them are damaged.
    """
    paths = _newest_first(workdir)
    for path in paths:
        try:
            return int(path.stem), read(path)
        except DamagedError as error:
            logging.warning("%s; trying the one before it", error)
    if paths:
        raise UserError(
            f"all checkpoints in {_folder(workdir)} are damaged; remove the run folder "
            f"to start again"
        )
    return None


def read(path) -> dict[str, np.ndarray]:
    """Returns the arrays of one checkpoint by name, verified; DamagedError if not."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}") from error
    except Exception as error:  # a damaged zip file raises a dozen kinds
        raise DamagedError(f"checkpoint {path} is damaged: {error}") from error
    if str(arrays.pop(DIGEST, "")) != digest(arrays):
        raise DamagedError(f"checkpoint {path} is damaged: its sha256 does not match")
    return arrays


def restore(template, arrays: dict[str, np.ndarray], fields=()):
    """Returns the template's tree with the saved arrays as leaves.

    Args:
      template: pytree of arrays.
      arrays: as `read` returns them.
      fields: paths into the tree, such as "state/step". Where no array lies at or below
        one, the field is younger than the checkpoint and stays as in the template.

    Raises:
      UserError: an array is missing or has another shape or dtype; names it.
    """
    below = {f: [n for n in arrays if f"{n}/".startswith(f"{f}/")] for f in fields}
    younger = tuple(f"{field}/" for field, names in below.items() if not names)

    def leaf(path, like):
        name = _name(path)
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

    return jax.tree_util.tree_map_with_path(leaf, template)


def write(path: Path, tree, savez=np.savez_compressed) -> None:
    """Writes the arrays of a tree with their digest; `read` returns them by name."""
    arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(tree)}
    buffer = io.BytesIO()
    savez(buffer, **arrays, **{DIGEST: np.array(digest(arrays))})
    files.write_atomically(path, buffer.getvalue())


def named_leaves(tree) -> list[tuple[str, object]]:
    """Returns the leaves of a tree with their paths, such as "params/conv1/kernel"."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(_name(path), leaf) for path, leaf in paths]


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Returns the sha256 over names, dtypes, shapes and values of arrays."""
    sha256 = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha256.update(f"{name} {array.dtype} {array.shape}\n".encode())
        sha256.update(array.tobytes())
    return sha256.hexdigest()


def _folder(workdir) -> Path:
    return Path(workdir) / "checkpoints"


def _newest_first(workdir) -> list[Path]:
    return sorted(_folder(workdir).glob("[0-9]*.npz"), reverse=True)
