"""Writes docs/keys.md, every configuration key: python -m bn_repro.keys_page.

Defaults and meanings are those of configs/common.py, where a key's comment stands
behind it or, if that is too long, above it; what is accepted is `keys.KEYS`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from bn_repro import config_files
from bn_repro.keys import KEYS
from bn_repro.resolve import CONDITIONS
from bn_repro.run_folder import files

PAGE = config_files.ROOT / "docs" / "keys.md"
SOURCE = config_files.CONFIGS / "common.py"
HEAD = """# Every configuration key

Override any of them with `--config.KEY=VALUE`. `python -m bn_repro.keys_page` writes
this page from [configs/common.py](../configs/common.py) and
[bn_repro/keys.py](../bn_repro/keys.py). "mlp:", "inception:", "mnist:" and the like say
who alone reads a key; "(open)" marks what the paper leaves open.

| key | default | meaning | accepted |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Returns the page as Markdown, a row a key in the order of configs/common.py."""
    rows = [
        f"| `{key}` | `{default}` | {_cell(meaning)} | {_cell(KEYS[key].what)} |\n"
        for key, default, meaning in documented(SOURCE.read_text())
    ]
    together = [f"- `{key}` must be {what}.\n" for key, _, what in CONDITIONS]
    return "".join([HEAD, *rows, "\nAnd together:\n\n", *together])


def documented(source: str) -> Iterator[tuple[str, str, str]]:
    """Yields (dotted key, default, comment) of a file like configs/common.py."""
    lines = source.splitlines()
    sections = dict(re.findall(r"config\.(\w+) = (\w+)\(\)", source))
    prefix_of = {function: f"{name}." for name, function in sections.items()}
    prefix_of["get_config"] = ""
    for function in ast.parse(source).body:
        if getattr(function, "name", None) not in prefix_of:
            continue
        for node in function.body:
            is_assignment = isinstance(node, ast.Assign)
            target = ast.unparse(node.targets[0]) if is_assignment else ""
            if target.startswith("config.") and not isinstance(node.value, ast.Call):
                key = prefix_of[function.name] + target.removeprefix("config.")
                yield key, ast.unparse(node.value), _comment(lines, node)


def _comment(lines: list[str], node: ast.Assign) -> str:
    """Returns the comment behind a statement, or else the one above it."""
    behind = lines[node.end_lineno - 1][node.end_col_offset :].strip()
    above = lines[node.lineno - 2].strip()
    found = behind or (above if above.startswith("#") else "")
    return found.removeprefix("#").strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(path: Path = PAGE) -> None:
    """Writes the page."""
    files.write_atomically(path, page().encode())


if __name__ == "__main__":
    main()
