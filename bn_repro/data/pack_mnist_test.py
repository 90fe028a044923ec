import gzip
import hashlib
import pathlib

import numpy as np
import pytest

from bn_repro.data import mnist, pack_mnist
from bn_repro.errors import UserError
from bn_repro.run_folder import files

OFFICIAL_NPZ = pathlib.Path(__file__).parents[2] / "../shared/data/mnist.npz"


@pytest.fixture
def small(monkeypatch):
    """Four small arrays that pass for the official ones."""
    generator = np.random.default_rng(0)
    arrays = {}
    official_files = {}
    for name, (file_name, _) in pack_mnist.OFFICIAL_FILES.items():
        shape = (5, 28, 28) if name.endswith("images") else (5,)
        arrays[name] = generator.integers(0, 256, shape, np.uint8)
        sha256 = hashlib.sha256(idx(arrays[name])).hexdigest()
        official_files[name] = (file_name, sha256)
    monkeypatch.setattr(pack_mnist, "OFFICIAL_FILES", official_files)
    return arrays


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_idx(folder, arrays, compressed=False):
    folder.mkdir()
    for name, (file_name, _) in pack_mnist.OFFICIAL_FILES.items():
        content = idx(arrays[name])
        if compressed:
            file_name, content = f"{file_name}.gz", gzip.compress(content)
        (folder / file_name).write_bytes(content)
    return folder


def test_npz_idx_and_gz_give_the_same_bytes(small, tmp_path):
    np.savez(tmp_path / "mnist.npz", **small)
    sources = [
        tmp_path / "mnist.npz",
        write_idx(tmp_path / "idx", small),
        write_idx(tmp_path / "gz", small, compressed=True),
    ]
    packed = []
    for source in sources:
        pack_mnist.pack(source, tmp_path / "packed.npz")
        packed.append((tmp_path / "packed.npz").read_bytes())
    assert packed[0] == packed[1] == packed[2]
    with np.load(tmp_path / "packed.npz") as file:
        np.testing.assert_array_equal(
            mnist.unpack(file["train_images"]), small["train_images"] > 127
        )
        np.testing.assert_array_equal(file["test_labels"], small["test_labels"])


def test_data_that_are_not_the_official_are_refused(small, tmp_path):
    small["test_images"][0, 0, 0] ^= 1
    folder = write_idx(tmp_path / "idx", small)
    with pytest.raises(UserError, match="test_images.*official"):
        pack_mnist.pack(folder, tmp_path / "packed.npz")
    assert not (tmp_path / "packed.npz").exists()


def test_what_cannot_be_read_is_one_clear_line(small, tmp_path):
    folder = write_idx(tmp_path / "gz", small, compressed=True)
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    (tmp_path / "text.npz").write_text("not a zip file")
    (tmp_path / "empty").mkdir()
    for source in (folder, tmp_path / "empty", tmp_path / "text.npz", tmp_path / "no"):
        with pytest.raises(UserError, match=source.name) as caught:
            pack_mnist.pack(source, tmp_path / "packed.npz")
        assert "\n" not in str(caught.value)


def test_out_that_cannot_be_written_is_named(small, tmp_path):
    folder = write_idx(tmp_path / "idx", small)
    with pytest.raises(UserError, match="cannot write .*nowhere"):
        pack_mnist.pack(folder, tmp_path / "nowhere" / "packed.npz")


def test_out_is_written_under_its_name_and_as_a_whole(small, tmp_path, monkeypatch):
    """NumPy appended .npz; and a full disk destroyed the MNIST of the package."""
    folder, out = write_idx(tmp_path / "idx", small), tmp_path / "packed"
    pack_mnist.pack(folder, out)
    before = out.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["idx", "packed"]

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match="cannot write .*packed: No space left"):
        pack_mnist.pack(folder, out)
    assert out.read_bytes() == before


@pytest.mark.skipif(not OFFICIAL_NPZ.exists(), reason="no official mnist.npz here")
def test_packing_the_official_data_gives_the_arrays_of_the_package(tmp_path):
    pack_mnist.pack(OFFICIAL_NPZ, tmp_path / "packed.npz")
    ours, theirs = mnist.read_packed(tmp_path / "packed.npz"), mnist.read_packed()
    np.testing.assert_array_equal(ours.train.images, theirs.train.images)
    np.testing.assert_array_equal(ours.test.labels, theirs.test.labels)
