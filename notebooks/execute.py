"""Runs the notebooks and keeps what they show: make notebooks."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def executed(path: Path) -> nbformat.NotebookNode:
    """Returns a notebook with what it shows now, without warnings on stderr.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=300, resources=folder, record_timing=False
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}  # not this Python's version
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [one for one in cell.outputs if one.get("name") != "stderr"]
            cell.outputs = kept
    return notebook


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.ipynb")):
        print(path.name, flush=True)
        nbformat.write(executed(path), path)
