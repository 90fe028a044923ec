"""What a sweep consists of: its members, and which of them are this job's."""

import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

from bn_repro import cli
from bn_repro.errors import UserError
from bn_repro.run_folder import records


class Member(NamedTuple):
    """One run of a sweep: its key in RUNS, its folder and its configuration as JSON."""

    name: str
    workdir: Path
    config: str

    def status(self) -> str:
        """Returns how the run stands; "waiting" if it was never started."""
        return records.status_of(self.workdir)

    def load_config(self):
        """Returns the configuration as a ConfigDict, as stated."""
        from ml_collections import config_dict

        return config_dict.ConfigDict(json.loads(self.config))


def members(
    config_file: str, overrides: dict, only: list[str], workdir
) -> list[Member]:
    """Returns the members of a sweep in the order of RUNS.

    Args:
      config_file: file with RUNS and get_config.
      overrides: dotted key -> value, applied to every member.
      only: keys of RUNS to run; all of them if empty.
      workdir: folder of the run folders.

    Raises:
      UserError: no RUNS in the file, or a name that is not in it.
    """
    module = load(config_file)
    unknown = [name for name in only if name not in module.RUNS]
    if unknown:
        raise UserError(
            f"{config_file} has no run {', '.join(unknown)}; it has: "
            f"{', '.join(module.RUNS)}"
        )
    found = []
    for name in dict.fromkeys(only) or module.RUNS:  # two would share a folder
        varied = [key for key in overrides if key in module.RUNS[name]]
        if varied:
            raise UserError(
                f"{', '.join(varied)} is what the runs of {config_file} differ in; it "
                f"cannot be overridden for all of them: choose with --only"
            )
        config = module.get_config(name)
        config.update_from_flattened_dict(overrides)
        text = json.dumps(config.to_dict())
        found.append(Member(name, Path(workdir) / name, text))
    return found


def load(config_file: str):
    """Returns a config file as a module; UserError if it has no RUNS."""
    path = cli.find_config(config_file)
    spec = importlib.util.spec_from_file_location("config_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "RUNS"):
        raise UserError(f"{config_file} has no RUNS to sweep over")
    return module


def share(sweep: list[Member], index: int, count: int = 0) -> list[Member]:
    """Returns the members that one task of an array of jobs runs.

    Args:
      sweep: all members.
      index: of the task, from 0.
      count: number of tasks: task i runs the members i, i + count, ...; 0: one each.

    Raises:
      UserError: there is no such task.
    """
    count = count or len(sweep)
    if not 0 <= index < count:
        raise UserError(
            f"--index is {index}; with {count} tasks it must be from 0 to {count - 1}"
        )
    return sweep[index::count]
