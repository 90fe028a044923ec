"""Class probabilities of trained networks, averaged over the views of each picture.

One path for all of it: members x views, of which 1 x 1 is the plain case (Sec. 4.2.3).
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from bn_repro import metrics, models, parallel
from bn_repro.data import crops as views
from bn_repro.errors import UserError
from bn_repro.inference.members import Member
from bn_repro.inference.splits import Split
from bn_repro.layers import Mode
from bn_repro.parallel import REPLICATED, SHARDED
from bn_repro.run_folder import checkpoint, files

SAVE_EVERY = 30.0  # seconds between saves of an evaluation under way
SECONDS = "seconds"  # in what is saved: spent so far


def view_probabilities(variables, images, *, model, inputs, crops: int):
    """Returns the class probabilities of pictures, averaged over views, [b, classes].

    `images` are uint8 [b, views made by the host, H, W(, 3)]; the others of the `crops`
    views mirror them.
    """
    if crops > 1:
        images = views.with_mirrored(images, crops)
    flat = images.reshape(-1, *images.shape[2:])  # [b views, H, W, 3]
    logits, _ = model.apply(variables, inputs(flat, None), Mode(True))
    probabilities = jax.nn.softmax(logits, -1)
    return probabilities.reshape(*images.shape[:2], -1).mean(1)


class Predictions(NamedTuple):
    """What one network says about the first pictures of a split."""

    probabilities: np.ndarray  # float32 [n, classes]
    labels: np.ndarray  # int32 [n]
    mask: np.ndarray  # bool [n], False where the picture could not be decoded


def predict(
    member: Member,
    variables,  # the member's params and statistics
    split: Split,
    mesh,
    batch_size: int,  # forward passes a call, about: whole pictures, equal on devices
    partial_file: Path,  # of exactly this evaluation
    # after every batch: how many pictures are done, and of how many
    report: Callable[[int, int], None] = lambda done, of: None,
    step: Callable | None = None,  # of `compile_step`, for several calls
) -> tuple[Predictions, float]:
    """Returns predictions for every picture of a split, each once, and their seconds.

    What is done is saved in partial_file now and then and at the end; a later call goes
    on from there. The seconds are those of all calls, but for what was not saved.
    """
    pictures = max(1, batch_size // split.crops // mesh.size) * mesh.size
    step = step or compile_step(member, split, mesh)
    variables = parallel.replicate(variables, mesh)
    done_before, seconds = _resume(partial_file, member.config.data.classes)
    found, first = [done_before], len(done_before.labels)
    began, saved = time.monotonic() - seconds, time.monotonic()
    waiting = None
    for batch in split.batches(first, pictures):
        image = parallel.shard(batch.pop("image"), mesh)
        ahead = step(variables, image), batch
        if waiting:  # the host makes the next batch while the devices work on this
            found.append(_gathered(*waiting))
            report(sum(len(part.labels) for part in found), split.count)
        if time.monotonic() - saved > SAVE_EVERY:
            found = [_save(partial_file, member, found, time.monotonic() - began)]
            saved = time.monotonic()
        waiting = ahead
    if waiting:
        found.append(_gathered(*waiting))
    seconds = time.monotonic() - began
    return _save(partial_file, member, found, seconds), seconds


def compile_step(member: Member, split: Split, mesh):
    """Returns the compiled `view_probabilities`: (variables, sharded images)."""
    model = models.build(member.config, parallel.AXIS)
    how = {"model": model, "inputs": split.inputs, "crops": split.crops}
    step = partial(view_probabilities, **how)
    return jax.jit(parallel.spmd(step, mesh, (REPLICATED, SHARDED), SHARDED))


def _gathered(probabilities, batch) -> Predictions:
    """Returns a batch's predictions of all processes, in the split's order."""
    parts = (batch["index"], batch["label"], batch["mask"])
    if jax.process_count() > 1:
        probabilities = multihost_utils.process_allgather(probabilities, tiled=True)
        parts = multihost_utils.process_allgather(parts, tiled=True)
    index, labels, mask = map(np.asarray, parts)
    order = np.argsort(index, kind="stable")
    order = order[index[order] >= 0]  # not the padding
    whole = np.asarray(jax.device_get(probabilities), np.float32)
    return Predictions(whole[order], labels[order].astype(np.int32), mask[order])


def _resume(file: Path, classes: int) -> tuple[Predictions, float]:
    """Returns the predictions that were saved, none if there is no file; seconds."""
    nothing = np.zeros((0, classes), np.float32)
    if not file.is_file():
        return Predictions(nothing, np.zeros(0, np.int32), np.zeros(0, bool)), 0.0
    try:
        arrays = checkpoint.read(file)
    except checkpoint.DamagedError as error:
        raise UserError(f"{error}; remove it to evaluate from the start") from error
    seconds = float(arrays.pop(SECONDS, 0.0))
    return Predictions(**arrays), seconds


def _save(
    file: Path, member: Member, found: list[Predictions], seconds: float
) -> Predictions:
    whole = Predictions(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    _refuse_not_finite(member, whole)
    if parallel.is_main():
        with files.naming(file.parent, "write"):
            file.parent.mkdir(parents=True, exist_ok=True)
        content = whole._asdict() | {SECONDS: np.array(seconds)}
        checkpoint.write(file, content, np.savez)
    return whole


def _refuse_not_finite(member: Member, found: Predictions) -> None:
    if bad := int((~np.isfinite(found.probabilities)).any(1).sum()):
        raise UserError(
            f"{member.path}: the probabilities of {bad:,} of {len(found.labels):,} "
            f"pictures are not finite, so there is nothing to average: if the run "
            f"diverged, leave it out"
        )


def comparable(one: Predictions, other: Predictions) -> bool:
    """Returns whether predictions are of the same pictures and classes."""
    same_classes = one.probabilities.shape == other.probabilities.shape
    return same_classes and np.array_equal(one.labels, other.labels)


def score(members: list[Predictions]) -> dict:
    """Returns loss, accuracy, top5 and count of an ensemble (Sec. 4.2.3).

    Its prediction is the arithmetic mean of the members' class probabilities. Pictures
    that could not be decoded do not count.

    Raises:
      UserError: the members' predictions are not of the same pictures, or none of these
        could be decoded.
    """
    first = members[0]
    for other in members[1:]:
        if not comparable(first, other):
            raise UserError("the predictions to average are of different pictures")
    mean = np.mean([m.probabilities for m in members], 0, dtype=np.float64)
    mask = np.logical_and.reduce([m.mask for m in members])
    sums = metrics.sums(jnp.asarray(mean, jnp.float32), first.labels, mask)
    own = mean[np.arange(len(mean)), first.labels][mask]
    sums["loss"] = -np.log(np.maximum(own, np.finfo(np.float32).tiny)).sum()
    metrics.refuse_none(sums["count"], len(mask))
    return metrics.divide(sums)
