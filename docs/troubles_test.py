"""Every error line that the page quotes is one that the code can print."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = re.findall(r"^\| `(.+?)` \| ", (ROOT / "docs" / "troubles.md").read_text(), re.M)
ERRORS = {"UserError", "HeldError", "fail"}  # what prints its first argument
UNREAD = [  # calls whose whole text is of values
    "UserError(_fault(file, error))",
    "UserError(f'{member.path}: {error}')",
    "UserError(f'{workdir}: {error}')",
    "fail(error)",
    "fail(re.sub(NO_SWITCH, '\\\\1 is neither true nor false', line))",
    "fail(str(error).removeprefix('ERROR:: '))",
]


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


def functions(tree):
    """Returns name -> what the functions of that name return."""
    found = {}
    for f in ast.walk(tree):
        if isinstance(f, ast.FunctionDef):
            returns = (n.value for n in ast.walk(f) if isinstance(n, ast.Return))
            found.setdefault(f.name, []).extend(filter(None, returns))
    return found


def called(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def error_lines():
    """Yields call of an error -> its texts: literal, of a variable or of a function."""
    trees = list(sources())
    own = {tree: functions(tree) for tree in trees}
    anywhere = {}
    for found in own.values():
        for name, values in found.items():
            anywhere.setdefault(name, []).extend(values)

    def texts(value, tree):
        if isinstance(value, ast.BinOp):
            return texts(value.left, tree)
        if isinstance(value, ast.BoolOp):
            return [line for part in value.values for line in texts(part, tree)]
        if isinstance(value, ast.Call):
            returned = own[tree].get(called(value)) or anywhere.get(called(value), [])
            return list(map(text_of, returned))
        if isinstance(value, ast.Name):
            assigned = [n for n in ast.walk(tree) if isinstance(n, ast.Assign)]
            named = [n.value for n in assigned if ast.unparse(n.targets) == value.id]
            return [line for part in named for line in texts(part, tree)]
        return [text_of(value)]

    for tree in trees:
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and called(call) in ERRORS and call.args:
                found = [re.sub(r"\0+", "0", t) for t in texts(call.args[0], tree)]
                yield ast.unparse(call), [line for line in found if line.strip("0:; ")]


def test_every_error_line_is_on_the_page():
    rows = [re.sub(r"[`\s]+", " ", row).split("...") for row in ROWS]
    patterns = [".*".join(re.escape(part.strip(" .")) for part in row) for row in rows]
    lines = dict(error_lines())
    assert len(lines) > 100
    assert not [
        line
        for line in sum(lines.values(), [])
        if not any(re.search(p, line, re.S) for p in patterns)
    ]
    assert sorted(call for call, found in lines.items() if not found) == UNREAD
