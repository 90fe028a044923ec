"""The notebooks run from top to bottom on the committed results."""

import re
from pathlib import Path

import execute
import nbformat
import pytest

HERE = Path(__file__).parent
SHOWN = {"stream", "display_data", "execute_result"}
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


KNOWN = {
    "activation_drift",
    "imagenet",
    "learning_rate_sweep",
    "trained_network",
    "why_it_works",
}


def test_there_are_the_notebooks():
    assert set(NAMES) == KNOWN


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_short_shows_its_outputs_and_concludes(name):
    notebook = read(name)
    cells = code_cells(notebook)
    lines = [line for cell in cells for line in cell.source.splitlines() if line]
    assert len(lines) < 60
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= SHOWN
    assert_shows_pictures_and_tables(cells)
    assert notebook.cells[-1].source.startswith("## Conclusion\n")
    assert (HERE / f"{name}.ipynb").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_all_notebooks_find_the_repository_in_the_same_way(name):
    first = [code_cells(read(other))[0].source for other in (name, NAMES[0])]
    assert first[0] == first[1] and "google.colab" in first[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_what_is_committed(name):
    """If not: make notebooks."""
    committed = read(name)
    assert results_of(committed).is_dir()
    again = execute.executed(HERE / f"{name}.ipynb")
    assert texts(again) == texts(committed)
    assert_shows_pictures_and_tables(code_cells(again))


def assert_shows_pictures_and_tables(cells):
    data = [output.get("data", {}) for cell in cells for output in cell.outputs]
    kinds = {kind for one in data for kind in one}
    assert {"image/png", "text/markdown"} <= kinds


def texts(notebook):
    """Returns all text that a notebook shows, cell by cell."""
    return [
        [output.get("text") or output.data.get("text/markdown") for output in c.outputs]
        for c in code_cells(notebook)
    ]
