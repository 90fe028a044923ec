"""The notebooks run from top to bottom on the committed results."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.ipynb"))


def read(name):
    return nbformat.read(HERE / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def results_of(notebook):
    """Returns the folder that a notebook's text and code both name."""
    if "results/README.md" in notebook.cells[0].source:  # of several
        return HERE.parent / "results"
    text = "\n".join(cell.source for cell in notebook.cells)
    (named,) = set(re.findall(r"`results/(\w+)`", text))
    assert f'root / "results" / "{named}"' in text
    return HERE.parent / "results" / named


KNOWN = {"activation_drift", "imagenet", "learning_rate_sweep", "why_it_works"}


def test_there_are_the_notebooks():
    assert set(NAMES) == KNOWN


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_short_and_has_no_outputs(name):
    cells = code_cells(read(name))
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    lines = [line for cell in cells for line in cell.source.splitlines() if line]
    assert len(lines) < 60


@pytest.mark.parametrize("name", NAMES)
def test_all_notebooks_find_the_repository_in_the_same_way(name):
    first = [code_cells(read(other))[0].source for other in (name, NAMES[0])]
    assert first[0] == first[1] and "google.colab" in first[0]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != "learning_rate_sweep"))
        for name in NAMES
    ],
)
def test_a_notebook_runs(name):
    notebook = read(name)
    assert results_of(notebook).is_dir()
    folder = {"metadata": {"path": str(HERE)}}
    NotebookClient(notebook, timeout=300, resources=folder).execute()
    shown = [kind for cell in code_cells(notebook) for kind in output_kinds(cell)]
    assert "image/png" in shown and "text/markdown" in shown


def output_kinds(cell):
    return [kind for output in cell.outputs for kind in output.get("data", {})]
