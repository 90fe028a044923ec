"""Test set-up: eight CPU devices in this process, TFDS data sets made on the spot."""

import gc
import os
import pathlib
import signal

# Before jax is imported. Empty, as by `make test-accelerator`: the device there is.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the tests' time is compiling; programs are kept, for started processes too.
_CACHE = pathlib.Path(__file__).with_name(".jax_cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
# jaxlib 0.10.1 calls a kept program's compiler options features that the CPU lacks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Started in the background of a script, as by `nohup make test &`, the tests and the
# processes that they start would ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import pytest

# Not in the environment: processes that a test starts have the one device of a user.
jax.config.update("jax_num_cpu_devices", 8)


def pytest_sessionstart(session):
    """Ends a run of the tests for an accelerator where there is none."""
    if not os.environ["JAX_PLATFORMS"] and jax.default_backend() == "cpu":
        pytest.exit("JAX finds no GPU or TPU here; see jax.devices()", returncode=2)


def pytest_collection_finish():
    """Leaves what was imported out of every garbage collection: a tenth of the time."""
    gc.freeze()


@pytest.fixture
def store_tfds(tmp_path):
    """Returns a function that prepares a TFDS data set, offline and without TensorFlow.

    It takes the name, a `tfds.features.FeaturesDict` and {split: [(key, example)]} and
    returns the data directory; a picture is given as `io.BytesIO` of its encoded bytes.
    """
    import tensorflow_datasets as tfds

    def store(name, features, splits):
        def info(self):
            return tfds.core.DatasetInfo(builder=self, features=features)

        members = {
            "name": name,
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": info,
            "_split_generators": lambda self, manager: splits,
            "_generate_examples": None,
        }
        with tfds.core.registered.skip_registration():
            builder = type(name, (tfds.core.GeneratorBasedBuilder,), members)
        tfds.disable_progress_bar()
        builder(data_dir=tmp_path, file_format="array_record").download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
        return tmp_path

    return store
