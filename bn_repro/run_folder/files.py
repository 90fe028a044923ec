"""Files that are the old or the new one as a whole, and errors that name the file."""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from bn_repro.errors import UserError

REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # pathlib leaves one "/" of two


@contextlib.contextmanager
def naming(path: Path, action: str) -> Iterator[None]:
    """Turns an OSError into a UserError: cannot `action` `path`, and why.

    Raises:
      UserError: likewise, or it is an address such as gs://bucket, of which a folder
        called gs: would be made here.
    """
    refuse_remote(path)
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"cannot {action} {path}: {why}") from error


def refuse_remote(path: str | os.PathLike) -> None:
    """Raises UserError if a path is an address such as gs://bucket/folder.

    Records are appended to, locked and replaced as a whole, which object stores do not.
    """
    if found := REMOTE.match(str(path)):
        address = f"{found[1]}://{str(path)[found.end() :]}"
        raise UserError(
            f"{address} is no folder of this machine; give one, or mount the bucket "
            f"(gcsfuse, s3fs) and give its folder"
        )


def write_json(path: Path, value: Mapping) -> None:
    """Writes an object as strict JSON, atomically; see `plain`."""
    text = json.dumps(plain(value), indent=2, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file as a whole; on a crash or an error the old one stays."""
    temporary = path.with_name(f".{path.name}.tmp")
    with naming(path, "write"):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def read_json(path: Path, missing: dict | None = None) -> dict:
    """Returns the object in a JSON file, or `missing` where there is no such file."""
    if missing is not None and not path.exists():
        return missing
    with naming(path, "read"):
        content = path.read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is corrupt: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is corrupt: it holds no JSON object")
    return value


def write_between(path: Path, begin: str, end: str, content: str) -> None:
    """Writes content between two lines of a page; UserError if it lacks them."""
    with naming(path, "read"):
        before, first, rest = path.read_text().partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise UserError(f"{path} has no lines {begin} and {end} to write between")
    text = f"{before}{begin}\n\n{content}\n\n{end}{after}"
    write_atomically(path, text.encode())


def walk(root: str | os.PathLike) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yields as os.walk, but follows links; each folder once, beside a link to it."""
    seen = set()
    for folder, children, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            children.clear()
            continue
        seen.add(real)
        children.sort(key=lambda child: os.path.islink(os.path.join(folder, child)))
        yield folder, children, names


def digest(arrays: Mapping) -> str:
    """Returns the sha256 over names, dtypes, shapes and values of numpy arrays."""
    sha256 = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])  # a scalar's shape becomes (1,)
        sha256.update(f"{name} {array.dtype} {array.shape}\n".encode())
        sha256.update(array.tobytes())
    return sha256.hexdigest()


def plain(value):
    """Returns value as JSON can hold it: arrays as lists, no NaN or infinity."""
    if hasattr(value, "tolist"):  # arrays and scalars of numpy and JAX
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
