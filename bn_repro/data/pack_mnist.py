"""Packs the official MNIST into the small file that this package carries."""

import gzip
import hashlib
import io
import pathlib
import struct
import zlib

import numpy as np

from bn_repro.data import mnist
from bn_repro.errors import UserError
from bn_repro.run_folder import files

# The uncompressed IDX files: name, sha256. The keys are those of Keras's mnist.npz with
# the official names, and of the packed file.
OFFICIAL_FILES = {
    "train_images": (
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_labels": (
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test_images": (
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_labels": (
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
IDX_UINT8 = 0x08  # the third byte of an IDX file: its elements' type


def pack(source: pathlib.Path, out: pathlib.Path = mnist.PACKED_FILE) -> None:
    """Writes MNIST's binary images and labels to out, the same bytes each time.

    Args:
        source: an .npz with the four arrays of OFFICIAL_FILES, or the folder that holds
            the four IDX files, plain or with .gz.
        out: the packed .npz file, of this very name; replaced as a whole.

    Raises:
        UserError: a missing or unreadable file, one that is not the official data, or
            an out that cannot be written.
    """
    packed = {}
    for name, content in _read_official(pathlib.Path(source)).items():
        array = _from_idx(content)
        is_image = name.endswith("_images")
        packed[name] = mnist.pack(array > mnist.PACKED_THRESHOLD) if is_image else array
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **packed)
    files.write_atomically(pathlib.Path(out), buffer.getvalue())


def _read_official(source: pathlib.Path) -> dict[str, bytes]:
    read = _read_folder if source.is_dir() else _read_npz
    contents = read(source)
    for name, (_, sha256) in OFFICIAL_FILES.items():
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise UserError(f"{name} in {source} are not the official MNIST's (sha256)")
    return contents


def _read_npz(source: pathlib.Path) -> dict[str, bytes]:
    try:
        with np.load(source) as file:
            return {name: _to_idx(file[name]) for name in OFFICIAL_FILES}
    except Exception as error:  # a damaged zip file raises a dozen kinds
        raise UserError(
            f"{source} is neither a folder with MNIST's IDX files nor an .npz with"
            f" {', '.join(OFFICIAL_FILES)} ({error})"
        ) from error


def _read_folder(source: pathlib.Path) -> dict[str, bytes]:
    contents = {}
    for name, (file_name, _) in OFFICIAL_FILES.items():
        plain, compressed = source / file_name, source / f"{file_name}.gz"
        try:
            is_plain = plain.exists()
            content = (plain if is_plain else compressed).read_bytes()
            contents[name] = content if is_plain else gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"cannot read {plain} or {compressed}: {error}") from error
    return contents


def _to_idx(array: np.ndarray) -> bytes:
    """Returns the IDX file of a uint8 array: type, rank, big-endian sizes, elements."""
    sizes = array.ndim, *array.shape
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, IDX_UINT8, *sizes)
    return header + array.astype(np.uint8).tobytes()


def _from_idx(content: bytes) -> np.ndarray:
    rank = content[3]
    shape = struct.unpack_from(f">{rank}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
