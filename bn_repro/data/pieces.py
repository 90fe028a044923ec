"""A piece of a batch: which pictures it holds, and how it is read and decoded.

A piece is a function of its number. Everything random about an example follows from
(config.seed, its position in the sample stream, the attempt): attempt 0 is the example
that the order puts there; each further one, needed when a picture cannot be decoded,
draws another example. So neither workers nor hosts nor a resume change a pixel.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from bn_repro.data import decode
from bn_repro.data.classes import shown
from bn_repro.data.order import Order
from bn_repro.data.shared_memory import Filled, Kept
from bn_repro.errors import UserError

MOST = 64  # pictures in a piece: bounds the memory of a worker at any batch size
ATTEMPTS = 20
_NAMES_SHOWN = 50
_JUDGED_OVER = 10_000  # pictures


@dataclasses.dataclass(frozen=True)
class Pieces:
    """How the batches are cut; each process has its contiguous part of every batch."""

    batch_size: int  # examples of a batch, over all processes
    process_index: int  # of this process
    process_count: int  # number of processes; divides the batch size
    most: int = MOST  # examples in a piece

    def __post_init__(self):
        if self.batch_size % self.process_count:
            raise UserError(
                f"a batch of {self.batch_size} cannot be shared by "
                f"{self.process_count} processes: make it a multiple of them"
            )

    @property
    def share(self) -> int:
        """Number of examples of a batch that are this process's."""
        return self.batch_size // self.process_count

    @property
    def per_batch(self) -> int:
        """Number of pieces of this process's share, as equal as can be."""
        return -(-self.share // self.most)

    def positions(self, piece: int) -> np.ndarray:
        """Returns the positions in the global stream of a piece, int64 [k]."""
        step, part = divmod(piece, self.per_batch)
        first = step * self.batch_size + self.process_index * self.share
        start = part * self.share // self.per_batch
        stop = (part + 1) * self.share // self.per_batch
        return np.arange(first + start, first + stop)


@dataclasses.dataclass(frozen=True)
class TrainingPieces:
    """Random crops of the examples in the training order."""

    source: object  # random access to undecoded pictures
    order: Order  # of the examples
    seed: int  # of crops, mirroring and replacements
    size: int  # side of the network's input, pixels
    # writes a random view, as decode.training_view, given picture, rng and out
    view: Callable
    # shape -> what to hand on and the array to write, as Blocks.fill
    allocate: Callable
    max_pixels: int = decode.MAX_PIXELS  # more are not decoded

    def read(self, positions: np.ndarray) -> tuple[np.ndarray, list[dict]]:
        """Returns the positions and the undecoded examples there."""
        examples = self.order.examples_at(positions)
        return positions, [self.source[int(example)] for example in examples]

    def decode(self, piece: tuple[np.ndarray, list[dict]]) -> dict:
        """Returns "image", "label", "position", and "bad": (name, why) a picture."""
        positions, records = piece
        shape = (len(records), self.size, self.size, 3)
        images, views = self.allocate(shape)
        labels, bad = np.empty(len(records), np.int32), []
        for i, (position, record) in enumerate(zip(positions, records, strict=True)):
            labels[i] = self._fill(views[i], int(position), record, bad)
        return {"image": images, "label": labels, "position": positions, "bad": bad}

    def _fill(self, out, position: int, record: dict, bad: list) -> int:
        """Writes a view of the record, or of its replacement; returns the label."""
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, position, attempt))
            if attempt:
                record = self.source[int(rng.integers(len(self.source)))]
            picture = decode.decode(record["jpeg"], self.max_pixels)
            if picture is not None:
                self.view(picture, rng, out=out)
                return record["label"]
            bad.append((record["name"], decode.problem(record, self.max_pixels)))
        which = listed(dict(bad))
        raise UserError(f"{ATTEMPTS} pictures in a row cannot be decoded: {which}")


@dataclasses.dataclass(frozen=True)
class EvaluationPieces:
    """The views of every example once, in the source's order."""

    source: object  # random access to undecoded pictures
    shape: tuple[int, ...]  # of an example's views, [..., H, W, 3]
    view: Callable  # writes them, given picture and out, as crops.write_views
    # shape -> what to hand on and the array to write, as Blocks.fill
    allocate: Callable
    first: int = 0  # index of the first example
    max_pixels: int = decode.MAX_PIXELS  # more are not decoded

    def read(self, positions: np.ndarray) -> tuple[np.ndarray, list[dict | None]]:
        """Returns the indices, -1 beyond the last example, and the undecoded ones."""
        index = self.first + positions
        index = np.where(index < len(self.source), index, -1)
        return index, [self.source[int(i)] if i >= 0 else None for i in index]

    def decode(self, piece: tuple[np.ndarray, list[dict | None]]) -> dict:
        """Returns "image", "label", "mask", "index", and "bad", as TrainingPieces."""
        index, records = piece
        images, views = self.allocate((len(index), *self.shape))
        labels, mask = np.zeros(len(index), np.int32), np.zeros(len(index), bool)
        bad = []
        for i, record in enumerate(records):
            if record is not None:
                labels[i] = record["label"]
                mask[i] = self._fill(views[i], record, bad)
            if not mask[i]:
                views[i] = 0
        arrays = {"image": images, "label": labels, "mask": mask, "index": index}
        return {**arrays, "bad": bad}

    def _fill(self, out, record: dict, bad: list) -> bool:
        """Writes the record's views; returns whether it can be decoded."""
        picture = decode.decode(record["jpeg"], self.max_pixels)
        if picture is None:
            bad.append((record["name"], decode.problem(record, self.max_pixels)))
            return False
        self.view(picture, out=out)
        return True


def fresh(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns a new array, to hand on and to write, for pieces made in this process."""
    images = np.empty(shape, np.uint8)
    return images, images


def joined(kept: Kept, pieces: list[dict]) -> dict:
    """Returns the batch of its pieces, in memory of this process alone."""
    filled = [p["image"] for p in pieces if isinstance(p["image"], Filled)]
    if len(pieces) == 1 and not filled:
        return pieces[0]
    if filled:
        pieces = [{**piece, "image": piece["image"].images} for piece in pieces]
    bad = [found for piece in pieces for found in piece.pop("bad")]
    batch = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    for block in filled:
        kept.keep(block)
        block.free()
    return {**batch, "bad": bad}


def refuse_many(problems: dict[str, str], bad: int, of: int, most: float) -> None:
    """Raises UserError if more than data.max_bad_fraction of the pictures are bad."""
    # A few bad pictures among the first say little about their share.
    if bad > most * max(of, _JUDGED_OVER):
        raise UserError(
            f"{bad} of {of} pictures cannot be decoded, more than "
            f"data.max_bad_fraction={most}; replace or remove them, or raise it: "
            f"{listed(problems)}"
        )


def listed(problems: dict[str, str]) -> str:
    """Returns names and why, in one line; the first ones if they are many."""
    more = len(problems) - _NAMES_SHOWN
    first = list(problems.items())[:_NAMES_SHOWN]
    return ", ".join(f"{shown(name)} ({why})" for name, why in first) + (
        f" and {more} more" if more > 0 else ""
    )
