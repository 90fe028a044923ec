"""Every error line that the page quotes is one that the code can print."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| `(.+?)` \| ", (ROOT / "docs" / "troubles.md").read_text(), re.M)
ERRORS = {"UserError", "HeldError", "fail"}  # what prints its first argument


def sources():
    """Yields the syntax trees of the package and the commands, without tests."""
    for folder in ("bn_repro", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            if not path.stem.endswith("_test"):
                yield ast.parse(path.read_text())


def text_of(node):
    """Returns the text of a literal, a break where a value stands; "" of others."""
    if isinstance(node, ast.JoinedStr):
        parts = (getattr(part, "value", "\0") for part in node.values)
        return "".join(p if isinstance(p, str) else "\0" for p in parts)
    value = getattr(node, "value", "")
    return value if isinstance(value, str) else ""


@pytest.fixture(scope="module")
def texts():
    found = {text_of(node) for tree in sources() for node in ast.walk(tree)}
    return found - {""}


@pytest.mark.parametrize("row", ROWS)
def test_a_quoted_line_is_in_the_code(row, texts):
    wanted = [re.sub(r"\s+", " ", part).strip(" ;,.") for part in row.split("...")]
    wanted = [part for part in wanted if len(part) > 2]
    assert wanted
    for part in wanted:
        assert any(part in text for text in texts), part


def error_lines():
    """Returns the texts of all errors: literal, from a variable or from a function."""
    trees = list(sources())
    returned = {
        f.name: [node.value for node in ast.walk(f) if isinstance(node, ast.Return)]
        for tree in trees
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef)
    }

    def called(call):
        return getattr(call.func, "id", getattr(call.func, "attr", ""))

    def texts(value, tree):
        if isinstance(value, ast.BinOp):
            return texts(value.left, tree)
        if isinstance(value, ast.BoolOp):
            return [line for part in value.values for line in texts(part, tree)]
        if isinstance(value, ast.Call):
            return [text_of(part) for part in returned.get(called(value), [])]
        if isinstance(value, ast.Name):
            assigned = [n for n in ast.walk(tree) if isinstance(n, ast.Assign)]
            named = [n.value for n in assigned if ast.unparse(n.targets) == value.id]
            return [line for part in named for line in texts(part, tree)]
        return [text_of(value)]

    calls = [(n, t) for t in trees for n in ast.walk(t) if isinstance(n, ast.Call)]
    return [
        line.replace("\0", "0")
        for call, tree in calls
        if called(call) in ERRORS and call.args
        for line in texts(call.args[0], tree)
        if line.strip("\0 :;")
    ]


def test_every_error_line_is_on_the_page():
    found = [re.sub(r"[`\s]+", " ", row).split("...") for row in ROWS]
    patterns = [
        ".*".join(re.escape(part.strip(" :;.,")) for part in row) for row in found
    ]
    lines = error_lines()
    assert len(lines) > 100
    assert not [
        line for line in lines if not any(re.search(p, line, re.S) for p in patterns)
    ]
