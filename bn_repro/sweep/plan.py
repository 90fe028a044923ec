"""What a sweep consists of: its members, and which of them are this job's."""

import contextlib
import datetime
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bn_repro import config_files, resolve
from bn_repro.errors import UserError
from bn_repro.run_folder import configuration, files, records
from bn_repro.sweep.axes import product


class Planned(NamedTuple):
    """One run of a sweep."""

    name: str  # its key in RUNS, or made of what its axes set
    workdir: Path  # its folder
    config: str  # its configuration as JSON, as stated
    sets: dict  # dotted key -> value, as RUNS has them, and the axes

    def status(self) -> str:
        """Returns how the run stands; "waiting" if it was never started."""
        started = (self.workdir / records.CONFIG).is_file()
        return records.status(self.workdir)["status"] if started else "waiting"

    def load_config(self):
        """Returns the configuration as a ConfigDict, as stated."""
        from ml_collections import config_dict

        return config_dict.ConfigDict(json.loads(self.config))


def of_files(
    chosen: Sequence[tuple[str, list[str]]],
    overrides: dict,
    workdir: str | Path,
    axes: Sequence[str] = (),
) -> list[Planned]:
    """Returns the members of the sweeps of several config files, one after another.

    `chosen` are pairs of a file and what `members` takes as `only`; the rest is as it
    takes it, for every file; but where the data of some lie is not told to others, of
    another source. Names begin with their file's if there are several.

    Raises:
      UserError: as `members`, or two files of one name.
    """
    found = {}
    for file, only in chosen:
        for member in members(file, overrides, only, workdir, axes):
            if len(chosen) > 1:
                name = f"{Path(file).stem}_{member.name}"
                member = member._replace(name=name, workdir=Path(workdir) / name)
            if member.name in found:
                raise UserError(
                    f"two config files give a run {member.name}: train them in "
                    f"folders of their own"
                )
            found[member.name] = member
    varied = [axis.partition("=")[0] for axis in axes]
    if same := resolve.ignored(varied, [m.load_config() for m in found.values()]):
        raise UserError(f"--axis {same[0]}: its runs would be the same; leave it out")
    return _where_read(list(found.values()), overrides)


def _where_read(found: list[Planned], overrides: dict) -> list[Planned]:
    """Returns the members, without places of data that only others of them read."""
    configs = [member.load_config() for member in found]
    sources = [config.get("data", {}).get("source") for config in configs]
    unread = [resolve.UNREAD.get(source, ()) for source in sources]
    nobodys = set.intersection(*map(set, unread))
    kept = []
    for member, config, keys in zip(found, configs, unread, strict=True):
        given = [key for key in keys if key in overrides and key not in nobodys]
        config.update_from_flattened_dict(dict.fromkeys(given, ""))
        kept.append(member._replace(config=json.dumps(config.to_dict())))
    return kept


def members(
    config_file: str,
    overrides: dict,
    only: list[str],
    workdir: str | Path,
    axes: Sequence[str] = (),
) -> list[Planned]:
    """Returns the members of a sweep in the order of RUNS, or of its axes.

    Args:
      config_file: file with RUNS and get_config.
      overrides: dotted key -> value, applied to every member.
      only: keys of RUNS to run, or names that get_config takes for them; all of them
        if empty.
      workdir: folder of the run folders.
      axes: KEY=VALUES, see `axes`. With them each run of `only`, or else the one that
        get_config() returns, is trained once for each choice of values.

    Raises:
      UserError: no RUNS in the file, a name that is not in it, or a bad axis.
    """
    if axes:
        return _along(axes, config_file, overrides, list(filter(None, only)), workdir)
    module = load(config_file)
    names = [run_of(module, config_file, name) for name in only if name]
    found = []
    for name in dict.fromkeys(names) or module.RUNS:  # two would share a folder
        varied = [key for key in overrides if key in module.RUNS[name]]
        if varied:
            raise UserError(
                f"{', '.join(varied)} is what the runs of {config_file} differ in; it "
                f"cannot be overridden for all of them: choose with --only"
            )
        config = config_files.of_run(module, name)
        sets = module.RUNS[name]
        found.append(_member(name, config, overrides, workdir, sets))
    return found


def _along(axes, config_file: str, overrides: dict, only, workdir) -> list[Planned]:
    """Returns a member for each run of `only` and each choice of the axes' values."""
    found, file = [], config_files.find(config_file)
    for base in dict.fromkeys(only) or [""]:
        config = config_files.load(f"{file}:{base}" if base else file)
        sets = _set_by_run(file, base) if base else {}
        for name, chosen in product(
            axes, configuration.flatten(config.to_dict())
        ).items():
            if both := chosen.keys() & overrides.keys():
                raise UserError(f"{min(both)} is overridden and an axis; leave one out")
            name = f"{base}_{name}" if base else name
            config.update_from_flattened_dict(chosen)
            kept = sets.keys() - chosen.keys() - overrides.keys()
            told = {key: sets[key] for key in sets if key in kept} | chosen
            found.append(_member(name, config, overrides, workdir, told))
    return found


def _set_by_run(file: str, name: str) -> dict:
    """Returns what the run of RUNS that get_config calls by a name sets; {} if none."""
    with contextlib.suppress(UserError):
        module = load(file)
        return module.RUNS[run_of(module, file, name)]
    return {}


def _member(name: str, config, overrides: dict, workdir, sets: dict) -> Planned:
    if unknown := overrides.keys() - configuration.flatten(config.to_dict()):
        raise UserError(f"the configuration of {name} has no key {min(unknown)}")
    config.update_from_flattened_dict(overrides)
    return Planned(name, Path(workdir) / name, json.dumps(config.to_dict()), sets)


def load(config_file: str):
    """Returns a config file as a module; UserError if it has no RUNS."""
    module = config_files.load_module(config_files.find(config_file))
    if not getattr(module, "RUNS", None):
        raise UserError(f"{config_file} has no RUNS to sweep over")
    return module


def run_of(module, config_file: str, name: str) -> str:
    """Returns the key in RUNS of the run that get_config calls by this name.

    Raises:
      UserError: there is none.
    """
    if name in module.RUNS:
        return name
    with contextlib.suppress(Exception):  # whatever it says of a name unknown to it
        wanted = module.get_config(name).to_dict()
        for key in module.RUNS:
            if module.get_config(key).to_dict() == wanted:
                return key
    raise UserError(config_files.no_run(config_file, [name], module.RUNS))


def listing(sweep: list[Planned], workdir=None) -> list[str]:
    """Returns a line a run: its name, what it sets and, in a workdir, how it stands."""
    lines = []
    for member in sweep:
        told = " ".join(f"{key}={value}" for key, value in member.sets.items())
        stands = f"{member.status()}  " if workdir else ""
        lines.append(f"{member.name}  {stands}{told}")
    return lines


def dry_run(sweep: list[Planned]) -> str:
    """Returns the first run's configuration as it would be trained, and what all cost.

    The seconds are by the speed of those runs of the sweep that have a manifest.

    Raises:
      UserError: a configuration is bad.
    """
    from bn_repro import data, models, probe_measures  # here: planning needs no jax

    configs = [resolve.resolve(member.load_config()) for member in sweep]
    for config, _ in configs:
        data.find(config.data)
        models.check_names(config)
        probe_measures.check_names(config.probe.measures)
    pictures = sum(config.steps * config.batch_size for config, _ in configs)
    steps = sum(config.steps for config, _ in configs)
    found = [files.read_json(m.workdir / records.MANIFEST, {}) for m in sweep]
    speeds = [v for m in found if (v := m.get("images_per_second"))]
    time = "how long that takes is known once a run there has ended"
    if speeds:
        seconds = round(pictures / statistics.median(speeds))
        time = (
            f"{datetime.timedelta(seconds=seconds)} of one process at the speed there"
        )
    return (
        f"{resolve.text(*configs[0])}\n\nThat is {sweep[0].name}, the first of "
        f"{len(sweep)}. All: {steps:,} steps, {pictures:,} examples; {time}."
    )


def share(sweep: list[Planned], index: int, count: int = 0) -> list[Planned]:
    """Returns the members that one task of an array of jobs runs.

    With `count` tasks, task `index`, from 0, runs the members index, index + count and
    so on; without a count there is a task for each member.

    Raises:
      UserError: there is no such task.
    """
    count = count or len(sweep)
    if not 0 <= index < count:
        raise UserError(
            f"--index is {index}; with {count} tasks it must be from 0 to {count - 1}"
        )
    return sweep[index::count]
