"""The evaluations of Sec. 4.2.3, Fig. 4: members x views, recorded and resumable."""

import contextlib
import hashlib
import json
import time
from pathlib import Path

import numpy as np

from bn_repro import parallel
from bn_repro.errors import UserError
from bn_repro.inference import members, population, predict, result
from bn_repro.inference.members import Member
from bn_repro.inference.splits import Split, open_split
from bn_repro.run_folder import checkpoint

KINDS = ("ema", "population")
ABOUT = "about"  # in saved probabilities: what they are of, JSON
SAME = ("member", "weights", "pictures", "eval_resize")  # in what is of one evaluation
PARTS = "evaluation_parts"  # folder of what an evaluation under way has done


def evaluate(
    networks: list[Member],  # a single network is an ensemble of one
    mesh,
    out,  # folder for the result, and for what an interrupted evaluation did
    crops: int = 1,  # views of each picture, 1, 10 or 144
    statistics: str = "population",  # Algorithm 2's, or "ema" (moving averages)
    split_name: str = "",  # see `open_split`
    batch_size: int = 0,  # forward passes a call; 0: as `eval.batch_size`
    limit: int = 0,  # only so many pictures; 0: as in the members' configurations
    save_probabilities: bool = False,  # also write each member's
    say=print,
) -> dict:
    """Evaluates an ensemble, or one network, and writes the result to a folder.

    Returns:
      What was written to evaluation_*.json: members, crops, statistics, split, count,
      top1_error, top5_error, loss, seconds of the predictions in all starts, and more.

    Raises:
      UserError: an unknown statistics or split, members of different classes or on
        different pictures, one that is there twice or whose outputs are not finite,
        data that are missing, or a folder that cannot be written; names the member, or
        the folder.
    """
    _check(statistics)
    if parallel.is_main():
        result.make_folder(out)
    networks = told_apart(networks)
    splits = _open_splits(networks, crops, split_name, limit)
    _announce(splits, say)
    found, abouts, parts = [], [], []
    for member, split in zip(networks, splits, strict=True):
        variables = chosen_variables(member, statistics, mesh, say)
        used = member._replace(variables=variables)
        parts.append(Path(out) / PARTS / f"{_key(used, split, statistics)}.npz")
        size = batch_size or member.config.eval.batch_size
        done, seconds = predict.predict(
            member, variables, split, mesh, size, parts[-1], _timer(member, say)
        )
        found.append(done)
        abouts.append(_about(member, split, statistics) | {"seconds": seconds})
        if save_probabilities:
            _save_probabilities(out, done, abouts[-1], say)
    row = result.of(abouts, found)
    if parallel.is_main():
        result.write(row, out, say)
        _remove(parts)
    return row


def _save_probabilities(out, found: predict.Predictions, about: dict, say) -> None:
    if not parallel.is_main():
        return
    name = _name(*(about[key] for key in ("member", "split", "statistics", "crops")))

    def same(file: Path) -> bool:
        there = checkpoint.about(file, ABOUT)
        return all(there.get(key) == about.get(key) for key in SAME)

    stem = f"probabilities_{name}"
    file = result.vacant(Path(out), stem, ".npz", same)
    arrays = found._asdict() | {ABOUT: np.array(json.dumps(about))}
    checkpoint.write(file, arrays)
    say(result.wrote(file, stem))


def told_apart(networks: list[Member]) -> list[Member]:
    """Returns the members, named by as much of their paths as makes names differ.

    Raises:
      UserError: two of them are one folder, or of one network.
    """
    paths, known = [member.path.resolve().parts for member in networks], {}
    for path, member in zip(paths, networks, strict=True):
        if paths.count(path) > 1:
            raise UserError(f"{member.path} is named twice; name each member once")
        _count_once(known, members.fingerprint(member), member.path, member.name)
    depth = 1
    while len({path[-depth:] for path in paths}) < len(paths):
        depth += 1
    if depth == 1:
        return networks
    names = ["/".join(path[-depth:]) for path in paths]
    return [m._replace(name=name) for m, name in zip(networks, names, strict=True)]


def _count_once(known: dict, network, path, name: str) -> None:
    """Adds a network's path to those known by network; UserError if it is there."""
    if network in known:
        raise UserError(
            f"{path} and {known[network]} are of one network, {name}, which would "
            f"count twice; name it once"
        )
    known[network] = path


def chosen_variables(member: Member, statistics: str, mesh, say=print) -> dict:
    """Returns a member's variables with the moving averages or Algorithm 2's."""
    _check(statistics)
    if statistics == "ema":
        return member.variables
    return population.variables_of(member, mesh, say)


def _check(statistics: str) -> None:
    if statistics not in KINDS:
        raise UserError(f"statistics is {statistics!r}; use one of {', '.join(KINDS)}")


def combine(paths, out) -> dict:
    """Returns the result of an ensemble from its members' saved probabilities.

    Returns:
      As `evaluate`; seconds is NaN, null in the file, if a member's were not saved, as
      in files from before they were recorded.

    Raises:
      UserError: a file is missing, damaged, of other pictures, views or statistics than
        the first, or of the same network as another; names it.
    """
    row = result.of(*_read_saved(paths))
    result.write(row, out)
    return row


def _read_saved(paths) -> tuple[list[dict], list[predict.Predictions]]:
    found, abouts, known = [], [], {}
    for path in paths:
        arrays = checkpoint.read(path)
        if {*predict.Predictions._fields, ABOUT} != arrays.keys():
            raise UserError(f"{path} does not hold saved probabilities")
        abouts.append(json.loads(str(arrays.pop(ABOUT))))
        for key in ("split", "crops", "statistics"):
            if abouts[-1][key] != abouts[0][key]:
                raise UserError(
                    f"{path} is of {key} {abouts[-1][key]}, but {paths[0]} of "
                    f"{abouts[0][key]}"
                )
        found.append(predict.Predictions(**arrays))
        pictures = {about["pictures"] for about in abouts if "pictures" in about}
        if len(pictures) > 1 or not predict.comparable(found[0], found[-1]):
            raise UserError(f"{path} is of other pictures or classes than {paths[0]}")
        network = abouts[-1].get("weights") or Path(path).resolve()
        _count_once(known, network, path, abouts[-1]["member"])
    return abouts, found


def _place(member: Member) -> tuple:
    """Returns where a member's pictures are, and how many of them are taken."""
    data = member.config.data
    return data.name, data.source, data.dir, data.train, data.val, data.limit


def _open_splits(networks, crops: int, name: str, limit: int) -> list[Split]:
    splits = []
    for member in networks:
        try:
            asked = crops, name, limit, member.classes
            splits.append(open_split(member.config, *asked))
        except UserError as error:
            raise UserError(f"{member.path}: {error}") from error
        if splits[-1].folders != splits[0].folders:
            raise UserError(
                f"{member.path} has other classes than {networks[0].path}; members of "
                f"an ensemble share them"
            )
        if _place(member) == _place(networks[0]):  # each file is looked at once
            splits[-1] = splits[-1]._replace(pictures=splits[0].pictures)
        if splits[-1].pictures() != splits[0].pictures():
            raise UserError(
                f"{member.path} is of other pictures than {networks[0].path}; members "
                f"of an ensemble are evaluated on the same"
            )
    return splits


def _announce(splits, say) -> None:
    first = splits[0]
    passes = sum(split.count * split.crops for split in splits)
    say(
        f"{first.count:,} pictures of {first.name} x {first.crops} views x "
        f"{len(splits)} members = {passes:,} forward passes"
    )


def _timer(member: Member, say, every: float = 10.0):
    """Returns what reports progress: an estimate at once, then now and then."""
    first, last = [], [-np.inf]

    def report(done: int, of: int) -> None:
        now = time.monotonic()
        first[:] = first or [now, done]  # what came before also compiled
        if done > first[1] and now - last[0] > every:
            last[0] = now
            left = (now - first[0]) / (done - first[1]) * (of - done)
            say(f"{member.name}: {done:,} of {of:,} pictures, {left:,.0f} s left")

    return report


def _about(member: Member, split, statistics: str) -> dict:
    """Returns what a member's probabilities are of, as `result.of` takes it."""
    about = {
        "member": member.name,
        "steps": member.step,
        "crops": split.crops,
        "statistics": statistics,
        "split": split.name,
        "image_size": member.config.data.image_size,
        "classes": member.config.data.classes,
        "weights": members.fingerprint(member),
        "pictures": split.pictures(),
        "eval_resize": member.config.data.eval_resize,
        "bn": bool(member.variables.get("batch_stats")),
    }
    if about["bn"] and statistics == "population":
        about["population_batches"] = member.config.eval.population_batches
    return about


def _name(member: str, split: str, statistics: str, crops: int) -> str:
    return f"{member.replace('/', '_')}_{split}_{statistics}_{crops}"


def _key(member: Member, split, statistics: str) -> str:
    """Returns a name for exactly this evaluation.

    By its variables, population statistics included, as those may be estimated again.
    """
    resize = member.config.data.eval_resize
    what = (members.fingerprint(member), split.pictures(), resize)
    digest = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    return f"{_name(member.name, split.name, statistics, split.crops)}_{digest}"


def _remove(parts: list[Path]) -> None:
    for file in parts:
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: another evaluation is under way
        parts[0].parent.rmdir()
