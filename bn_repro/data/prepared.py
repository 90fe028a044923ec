"""Finds data sets that TensorFlow Datasets has prepared, without TensorFlow."""

import os

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from bn_repro.errors import UserError


def find_builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """Returns the builder of a prepared data set, whose `as_data_source` reads it.

    Looks at the files alone, so it never starts a download. An empty `data_dir` is the
    default of TFDS.

    Raises:
        UserError: no such data set there, or not as random-access ArrayRecord files.
    """
    data_dir = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
    command = f"tfds build {name} --data_dir={data_dir} --file_format=array_record"
    remedy = f"run `{command}` (it needs tensorflow-cpu) or set config.data.dir"
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        missing = f"no prepared TFDS data set {name} in {data_dir}: {remedy}"
        raise UserError(missing) from error
    formats = {kind.value for kind in builder.info.available_file_formats()}
    if "array_record" not in formats:
        found = ", ".join(sorted(formats))
        raise UserError(f"{builder.data_dir} is in format {found}: {remedy}")
    return builder
