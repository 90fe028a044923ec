"""Algorithm 2's statistics of trained networks: estimated once, kept, compared.

How they are estimated is in `evaluate.PopulationStatistics`.
"""

import json
from pathlib import Path

import jax
import numpy as np
from ml_collections import config_dict

from bn_repro import evaluate, experiment, layers, parallel
from bn_repro.errors import UserError
from bn_repro.inference import members, splits
from bn_repro.inference.members import Member
from bn_repro.run_folder import checkpoint, configuration, files

FILE = "population_{batches}.npz"  # in the run folder
ORIGIN = "origin"  # in that file: what the statistics are of, JSON
# Of the configuration, what the statistics depend on ...
DECISIVE = ("seed", "batch_size", "model.", "bn.", "data.")
# ... but for where and how the data are read, and for keys of other statistics.
INDIFFERENT = ("data.dir", "data.train", "data.val", "data.workers")
INDIFFERENT += ("data.eval_resize", "data.max_bad_fraction")
INDIFFERENT += ("bn.ema_decay", "bn.bias_correction", "bn.biased")


def estimate(
    member: Member, parts, mesh, counts, report=lambda done, of: None, biased=False
) -> dict:
    """Returns {N: batch_stats} from the N batches after the member's last step.

    `report` is called with (batches done, of how many).
    """
    config = member.config
    find = evaluate.PopulationStatistics(config, parts.recipe, mesh, biased)
    variables = parallel.replicate(member.variables, mesh)
    return find(variables, parts.feed, config.seed, member.step, counts, report)


def variables_of(member: Member, mesh, say=print) -> dict:
    """Returns a member's variables with population statistics as batch_stats.

    They are estimated once, from config.eval.population_batches batches, and kept in
    the run folder as population_N.npz with what they were estimated from: another
    network, configuration or number of training examples, and they are estimated again.
    A network without BN is returned as it is.

    Raises:
      UserError: the training pictures cannot be read, or the file is damaged.
    """
    if not member.variables.get("batch_stats"):
        return member.variables
    n = member.config.eval.population_batches
    file = Path(member.path) / FILE.format(batches=n)
    mesh = fitting_mesh(member.config, mesh)
    origin = _origin(member, mesh)
    statistics = _kept(file, member, origin, say)
    if statistics is None:
        parts = _parts(member, mesh)
        statistics = estimate(member, parts, mesh, (n,), _counter(member, say))[n]
        _keep(file, statistics, origin, say)
    return member.variables | {"batch_stats": statistics}


def _parts(member: Member, mesh) -> experiment.Experiment:
    try:
        return experiment.make(member.config, mesh)
    except UserError as error:
        raise UserError(
            f"{member.path}: Algorithm 2 averages over training pictures: {error}; or "
            f"evaluate with moving averages, --statistics ema"
        ) from error


def fitting_mesh(config, mesh):
    """Returns the mesh, or so many of its devices that the training batch divides.

    Raises:
      UserError: it would have to be fewer, on several processes.
    """
    fitting = [n for n in range(1, mesh.size + 1) if _fits(config, n)]
    size = max(fitting, default=1)
    if size == mesh.size:
        return mesh
    if jax.process_count() > 1:
        raise UserError(
            f"the training batch of {config.batch_size} in groups of {config.bn.batch} "
            f"does not divide over {mesh.size} devices; evaluate on one process, or on "
            f"{size} devices"
        )
    return parallel.make_mesh(mesh.devices.flat[:size])


def _fits(config, devices: int) -> bool:
    per_device, rest = divmod(config.batch_size, devices)
    return not rest and layers.groups(config.bn.batch, per_device, devices) is not None


def _origin(member: Member, mesh) -> dict:
    """Returns what the statistics depend on by name; None where it cannot be told."""
    config = member.config
    flat = configuration.flatten(files.plain(config.to_dict()))
    decisive = {k: v for k, v in flat.items() if k.startswith(DECISIVE)}
    origin = {k: v for k, v in decisive.items() if k not in INDIFFERENT}
    return origin | {
        "weights": members.fingerprint(member),
        "step": member.step,
        "devices": mesh.size if config.bn.batch == "device" else 1,
        "training examples": _training_examples(config),
    }


def _training_examples(config) -> int | None:
    """Returns the number of training examples; None where they are not here."""
    try:
        return splits.open_split(config, name="train").count
    except UserError:
        return None


def _kept(file: Path, member: Member, origin: dict, say) -> dict | None:
    """Returns the batch_stats in a file if they have this origin, else None."""
    if not file.is_file():
        return None
    try:
        arrays = checkpoint.read(file)
    except checkpoint.DamagedError as error:
        raise UserError(f"{error}; remove it, it is computed again") from error
    if ORIGIN not in arrays:  # one from before it was recorded
        say(f"{file} does not say what it was estimated on: it is computed again")
        return None
    there = configuration.of_today(json.loads(str(arrays.pop(ORIGIN))))
    known = [name for name, value in origin.items() if value is not None]
    differing = [name for name in known if there.get(name) != origin[name]]
    if not differing:
        template = {"batch_stats": member.variables["batch_stats"]}
        return checkpoint.restore(template, arrays)["batch_stats"]
    some = ", ".join(differing[:3]) + (", ..." if differing[3:] else "")
    say(f"{file} is of other {some}: it is computed again")
    return None


def _keep(file: Path, statistics: dict, origin: dict, say) -> None:
    if not parallel.is_main():
        return
    about = np.array(json.dumps(origin))
    try:
        checkpoint.write(file, {"batch_stats": statistics, ORIGIN: about})
    except UserError as error:  # such as results on a read-only disk
        say(f"warning: {error}; the statistics are used, but not kept")


def _counter(member: Member, say):
    def report(done: int, of: int) -> None:
        if done % 50 == 0 or done == of:
            say(f"{member.name}: population statistics, batch {done} of {of}")

    return report


def compare(
    member: Member, mesh, counts=(1, 10, 50, 200), limit: int = 0, report=print
) -> list[dict]:
    """Returns how accurate a network is with each kind of statistics.

    Args:
      member: the trained network, with BN.
      mesh: the devices.
      counts: numbers of training batches N for Algorithm 2.
      limit: evaluate on only so many pictures; 0: as in the member's configuration.
      report: prints a line.

    Returns:
      One row each for training mode ("batch"), moving averages ("ema"), and Algorithm 2
      ("population") by N, with the unbiased and with the biased variance: {statistics,
      batches, biased, loss, accuracy, top5, count}.

    Raises:
      UserError: the network has no BN.
    """
    if not member.variables.get("batch_stats"):
        raise UserError(f"{member.path} has no BN, so no statistics to compare")
    config = config_dict.ConfigDict(member.config.to_dict())
    mesh = fitting_mesh(config, mesh)
    config.eval.batch_statistics = True
    parts = experiment.make(config, mesh)
    measures = experiment.make(experiment.limited(config, limit), mesh).evaluations
    evaluations = {name: run for (_, name), run in measures.items()}
    rows = []

    def add(kind, evaluation, batch_stats=None, batches=0, biased=False):
        variables = dict(member.variables)
        if batch_stats is not None:
            variables["batch_stats"] = batch_stats
        measured, _ = evaluation(parallel.replicate(variables, mesh))
        rows.append({"statistics": kind, "batches": batches, "biased": biased})
        rows[-1] |= measured
        report(f"{kind}, N {batches}, biased {biased}: {measured['accuracy']:.4f}")

    add("batch", evaluations["batch"])
    add("ema", evaluations["ema"], biased=config.bn.biased)
    for biased in (False, True):
        found = estimate(member, parts, mesh, counts, biased=biased)
        for n, batch_stats in found.items():
            add("population", evaluations["ema"], batch_stats, n, biased)
    return rows
