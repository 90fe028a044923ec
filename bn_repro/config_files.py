"""Config files: named on a command line, found, run; faults named with the line."""

import contextlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from ml_collections import config_dict

from bn_repro.arguments import did_you_mean, nearest
from bn_repro.errors import UserError
from bn_repro.run_folder import configuration

CONFIG = ("--config", "-config")
PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of a checkout
NAMED = 12  # runs that a message lists


def shipped(name: str) -> Path:
    """Returns the folder configs or scripts: of the checkout, or as installed."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else ROOT / name


CONFIGS = shipped("configs")


def find(value: str) -> str:
    """Returns FILE.py[:RUN] of a path, or of the name of a packaged file.

    Args:
      value: a path, or mnist[:RUN] or configs/mnist.py[:RUN], wherever that lies.

    Raises:
      UserError: there is neither; names the nearest.
    """
    file, colon, run_name = value.partition(":")
    if not Path(file).is_file():
        name = re.fullmatch(r"(?:configs/)?(\w+)(?:\.py)?", file)
        packaged = CONFIGS / f"{name[1] if name else ''}.py"
        if not packaged.is_file():
            what = "is a folder" if file and Path(file).is_dir() else "is not there"
            full = "/" in file or file.endswith(".py")
            known = [f"configs/{n}.py" if full else n for n in names()]
            what += did_you_mean(file, known)
            raise UserError(f"the config file {file!r} {what}")
        file = str(packaged)
    return file + colon + run_name


def names() -> list[str]:
    """Returns the names of the packaged config files that have runs."""
    files = [path.stem for path in sorted(CONFIGS.glob("*.py"))]
    return [n for n in files if n not in ("__init__", "common") and "_test" not in n]


_OWN: dict = {}  # the package's `configs` and its modules, by name


def _imported_configs() -> dict:
    return {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "configs"}


@contextlib.contextmanager
def own_configs() -> Iterator[None]:
    """Has `from configs import common` mean the package's, whatever else is there.

    Installed, they are no package of that name, which others may use for theirs.
    """
    theirs = _imported_configs()
    init = str(CONFIGS / "__init__.py")
    if getattr(theirs.get("configs"), "__file__", None) == init:
        yield
        return
    if not _OWN:
        spec = importlib.util.spec_from_file_location("configs", init)
        _OWN["configs"] = importlib.util.module_from_spec(spec)
    for name in theirs:
        del sys.modules[name]
    sys.modules.update(_OWN)
    try:
        yield
    finally:
        _OWN.update({name: sys.modules.pop(name) for name in _imported_configs()})
        sys.modules.update(theirs)


@own_configs()
def load_module(file: str):
    """Returns a config file as a module.

    Raises:
      UserError: it does not run, or defines no get_config; names the line.
    """
    spec = importlib.util.spec_from_file_location("config_file", file)
    if spec is None:
        raise UserError(f"{file} is no config file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(_fault(file, error)) from error
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"{file} is no config file: it defines no get_config")
    module.get_config = own_configs()(module.get_config)
    return module


def load(value: str) -> config_dict.ConfigDict:
    """Returns a configuration, as stated: of FILE.py[:RUN] or, packaged, NAME[:RUN].

    Raises:
      UserError: there is no such file, it does not run, or it has no such run.
    """
    file, colon, run_name = find(value).partition(":")
    return of_run(load_module(file), *([run_name] if colon else []))


def of_run(module, *name: str) -> config_dict.ConfigDict:
    """Returns the configuration of the run of this name, or of the default; see `load`.

    `module` is as `load_module` returns it.
    """
    file = module.__file__
    try:
        config = module.get_config(*name)
    except Exception as error:
        runs = getattr(module, "RUNS", {})
        if name and runs and name[0] not in runs:
            raise UserError(no_run(file, list(name), runs)) from error
        raise UserError(_fault(file, error)) from error
    if not isinstance(config, config_dict.ConfigDict):
        raise UserError(f"{file} is no config file: get_config returns no ConfigDict")
    return config


def no_run(file: str, names: list[str], runs) -> str:
    """Returns that a file has no runs of these names, the nearest, and what it has."""
    arms = [re.sub(r"_seed\d+$", "", run) for run in runs]
    near = ", ".join(filter(None, (nearest(name, [*arms, *runs]) for name in names)))
    meant = f"did you mean {near}? It" if near else "it"
    shown = ", ".join(list(runs)[:NAMED]) + (", ..." if len(runs) > NAMED else "")
    named = ", ".join(map(repr, names))
    return f"{file} has no run {named}; {meant} has: {shown}"


def _fault(file: str, error: Exception) -> str:
    """Returns where in a config file an exception arose, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append(error.lineno)
    place = f", line {lines[-1]}" if lines else ""
    text = (getattr(error, "msg", "") or str(error)).strip().splitlines()
    return f"{file}{place}: {type(error).__name__}: {text[0] if text else ''}"


def in_words(words: list[str], flags: Container[str]) -> tuple[list[str], dict]:
    """Returns a command's words with the config file's path, and its keys' values.

    Raises:
      UserError: there are more config files than the command takes, or no such file.
    """
    words = _one_config(words, flags)
    found, keys = list(words), {}
    for place, word in enumerate(words):
        if "config" not in flags or word.partition("=")[0] not in CONFIG:
            continue
        name, equals, value = word.partition("=")
        if not equals:
            place, value = place + 1, "".join(words[place + 1 : place + 2])
            if not value or value.startswith("--"):
                break  # told by without_value
        value, runs = _several(value, flags)
        found += runs
        path = find(value)
        found[place] = f"{name}={path}" if equals else path
        keys = configuration.flatten(load(path).to_dict())
    return found, keys


def _one_config(words: list[str], flags: Container[str]) -> list[str]:
    """Returns the words with each --config after the first as an --also.

    Raises:
      UserError: there is a second where the command takes one, or beside --only.
    """
    places = [i for i, word in enumerate(words) if word.partition("=")[0] in CONFIG]
    if len(places) > 1 and "also" not in flags:
        raise UserError("--config is given twice; this command takes one")
    if len(places) > 1 and any(word.startswith("--only") for word in words):
        raise UserError("--only is for one --config; with several: FILE.py:RUN,RUN")
    found = list(words)
    for i in places[1:]:
        found[i] = found[i].replace("config", "also", 1)
    return found


def _several(value: str, flags: Container[str]) -> tuple[str, list[str]]:
    """Returns FILE.py:RUN of FILE.py:RUN,RUN and, where there is one, --only of all."""
    file, _, names = value.partition(":")
    if "," not in names or "only" not in flags:
        return value, []
    return f"{file}:{names.partition(',')[0]}", [f"--only={names}"]


def check_overrides(given: Mapping, keys: Mapping) -> None:
    """Raises UserError for an override of what is no key, with the nearest that is."""
    for name in given if keys else ():
        key = name.removeprefix("no").removeprefix("config.")
        if not name.removeprefix("no").startswith("config."):
            continue
        if key in keys:
            if isinstance(keys[key], tuple | list) and len(given[name]) > 1:
                raise UserError(f"--{name} is given twice; give all its values in one")
            continue
        below = [known for known in keys if known.startswith(f"{key}.")]
        if below:
            raise UserError(
                f"{key} is a section; override its keys, such as {below[0]}"
            )
        if (base := key.partition("[")[0]) in keys:
            raise UserError(f"{key} is part of a key; override {base} as a whole")
        meant = did_you_mean(key, keys) or "; configs/common.py has all keys"
        raise UserError(f"the config has no key {key}{meant}")
