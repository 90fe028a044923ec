"""Made-up runs of Fig. 1 that the tests of analysis share."""

import pytest

from bn_repro.analysis import arms, testing
from bn_repro.analysis.sweep import comparison
from bn_repro.run_folder import records


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory):
    """Two seeds of both networks of Fig. 1, 50,000 made-up steps."""
    return testing.write_figure1(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="session")
def sample_figure1(sample_folder):
    """The arms of `sample_folder`."""
    return arms.of_figure1(records.find_runs(sample_folder))


@pytest.fixture(scope="session")
def sample_sweep(tmp_path_factory):
    """Four rates on two seeds; without BN two of them train and one diverges."""
    folder = tmp_path_factory.mktemp("sweep")
    for rate, final in ((0.01, 0.5), (0.1, 0.92), (1.0, 0.93)):
        testing.write_seeds(folder, "none", rate, [final, final + 0.01])
    testing.write_seeds(folder, "none", 10.0, [0.1, 0.1], "diverged")
    for rate, final in ((0.01, 0.91), (0.1, 0.94), (1.0, 0.97), (10.0, 0.96)):
        testing.write_seeds(folder, "before", rate, [final, final - 0.01])
    return comparison.find_sweep(records.find_runs(folder))
