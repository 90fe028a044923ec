"""ImageNet (LSVRC2012) from TensorFlow Datasets' ArrayRecord files, undecoded.

Neither TensorFlow nor a download is needed to read it; to prepare it both are.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from bn_repro.data import prepared
from bn_repro.data.classes import Classes, labels_in, readable_names
from bn_repro.errors import UserError

NAME = "imagenet2012"
SPLITS = {"train": "train", "val": "validation"}  # ours -> TFDS's
CLASSES = 1_000
COUNTS = {"train": 1_281_167, "val": 50_000}


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsSource:
    """One split of a prepared data set; a record is the file as it was stored."""

    records: object  # TFDS's random access, `image` as encoded bytes
    wnids: list[str]  # the classes' WordNet ids, in the order of the labels
    # readable names if a words file lies in the data directory, else the WordNet ids
    class_names: list[str]
    name: str  # of the data set, with its version
    label: np.ndarray  # the label of each of TFDS's labels

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i: int) -> dict:
        record = self.records[i]
        return {
            "jpeg": record["image"],
            "label": int(self.label[record["label"]]),
            "name": record["file_name"].decode(),
        }

    def digest(self) -> str:
        """Returns the sha256 of the data set's name and version and of its classes."""
        held = (self.name, len(self), *self.class_names)
        return hashlib.sha256(repr(held).encode()).hexdigest()

    def pictures(self, chosen=slice(None)) -> str:
        """Returns a digest of which chosen pictures these are, in their order."""
        held = (self.name, len(self), np.arange(len(self))[chosen].tolist())
        return hashlib.sha256(repr(held).encode()).hexdigest()


def open_source(data, split: str, recorded: Classes | None = None) -> TfdsSource:
    """Returns the pictures of a split, "train" or "val", of `config.data`.

    With the classes of a run, `recorded`, these decide on the labels.

    Raises:
      UserError: the data set is not prepared in `data.dir`, has another number of
        classes than `data.classes`, or is the 1,000 classes without all their pictures
        (TFDS prepares what it finds and only warns when an archive is missing).
    """
    builder = prepared.find_builder(NAME, data.dir)
    wnids = builder.info.features["label"].names
    if len(wnids) != data.classes:
        raise UserError(
            f"{builder.data_dir} has {len(wnids)} classes, but data.classes is "
            f"{data.classes}: set --config.data.classes={len(wnids)}"
        )
    records = builder.as_data_source(
        split=SPLITS[split], decoders={"image": tfds.decode.SkipDecoding()}
    )
    if len(wnids) == CLASSES and len(records) != COUNTS[split]:
        raise UserError(
            f"{builder.data_dir} has {len(records):,} {split} pictures instead of "
            f"{COUNTS[split]:,}: prepare it again from complete archives"
        )
    version = Path(builder.data_dir)  # DIR/imagenet2012/VERSION
    folders = [version, version.parents[1]]
    found = Classes(tuple(readable_names(wnids, folders)), tuple(wnids))
    given = recorded if recorded and any(recorded) else found
    label = labels_in(given, found, str(builder.data_dir))
    wnids = [wnids[i] for i in np.argsort(label)]
    names = [found.names[i] for i in np.argsort(label)]
    return TfdsSource(records, wnids, names, builder.info.full_name, label)
