"""What a command prints for --help: its docstring, its flags, the configuration's keys.

absl's own help leaves out the flags that commands share, --config first of all.
"""

import re
import sys
import textwrap

from absl import flags

from bn_repro import config_files, keys_page
from bn_repro.run_folder import configuration

INSTALLED = "bn_repro "  # how sys.argv[0] begins where no script was called
WIDTH, INDENT, KEY_WIDTH = 88, 27, 37


def told(text: str) -> str:
    """Returns a text with its commands as this one was started: bn_repro train ..."""
    if not sys.argv[0].startswith(INSTALLED):
        return text
    return re.sub(r"(?:python )?scripts/(\w+)\.py", rf"{INSTALLED}\1", text)


def documentation(text: str | None) -> str:
    """Returns a command's docstring likewise, config files by their names."""
    named = told(text or "")
    return named if named == text else re.sub(r"configs/(\w+)\.py", r"\1", named)


def page(document: str | None, values: dict) -> str:
    """Returns what --help prints.

    Of a configuration's dotted keys and values; those of configs/common.py if empty.
    """
    shared = flags.FLAGS.flags_by_module_dict()
    found = [flag for m, f in shared.items() if not m.startswith("absl") for flag in f]
    ours = {flag.name: flag for flag in found}
    parts = [documentation(document).strip(), "Flags:\n" + _flags(ours)]
    if "config" in ours:
        parts.append(_keys(values))
    return "\n\n".join(parts)


def _flags(found: dict) -> str:
    lines = []
    for name in sorted(found, key=lambda name: (name != "config", name)):
        flag = found[name]
        default = "" if flag.default in (None, "", [], False) else f" [{flag.default}]"
        left = f"  --{'[no]' if flag.boolean else ''}{name}"
        told_of = textwrap.fill(
            re.sub(r"(?<!\.)\.;\s+", "; ", flag.help) + default,
            WIDTH,
            initial_indent=left.ljust(INDENT),
            subsequent_indent=" " * INDENT,
        )
        lines.append(told_of)
    return "\n".join(lines)


def _keys(values: dict) -> str:
    documented = keys_page.documented(keys_page.SOURCE.read_text())
    meanings = {key: meaning for key, _, meaning in documented}
    values = values or configuration.flatten(config_files.load("common").to_dict())
    ordered = [*(key for key in meanings if key in values), *values]
    lines = []
    for key in dict.fromkeys(ordered):
        left = f"  {key}={values[key]!r}".ljust(KEY_WIDTH)
        lines.append(f"{left} {meanings.get(key, '')}".rstrip())
    head = "Keys, each overridden by --config.KEY=VALUE (--config.steps=1e4):"
    return "\n".join([head, *lines])
