"""Every error line that the page quotes is one that the code can print."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| `(.+?)` \| ", (ROOT / "docs" / "troubles.md").read_text(), re.M)


def literals():
    """Yields the texts of the package, a break where a value stands."""
    for path in (ROOT / "bn_repro").rglob("*.py"):
        if path.stem.endswith("_test"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", "\0") for part in node.values)
                yield "".join(p if isinstance(p, str) else "\0" for p in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.fixture(scope="module")
def texts():
    return list(literals())


@pytest.mark.parametrize("row", ROWS)
def test_a_quoted_line_is_in_the_code(row, texts):
    wanted = [re.sub(r"\s+", " ", part).strip(" ;,.") for part in row.split("...")]
    wanted = [part for part in wanted if len(part) > 2]
    assert wanted
    for part in wanted:
        assert any(part in text for text in texts), part


def test_there_are_many():
    assert len(ROWS) > 35
