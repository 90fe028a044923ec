"""Made-up runs of Fig. 1 that the tests of analysis share."""

import pytest

from bn_repro import records
from bn_repro.analysis import arms, sample_runs


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory):
    """Two seeds of both networks of Fig. 1, 50,000 made-up steps."""
    return sample_runs.write_figure1(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="session")
def sample_figure1(sample_folder):
    """The arms of `sample_folder`."""
    return arms.figure1(records.find_runs(sample_folder))
