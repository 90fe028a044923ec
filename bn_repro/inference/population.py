"""Algorithm 2's statistics of trained networks: estimated once, and kept.

How they are estimated is in `evaluate.PopulationStatistics`.
"""

import json
from pathlib import Path

import jax
import numpy as np

from bn_repro import experiment, layers, parallel
from bn_repro.errors import UserError
from bn_repro.inference import members, splits
from bn_repro.inference.members import Member
from bn_repro.run_folder import checkpoint, configuration, files

FILE = "population_{batches}.npz"  # in the run folder
ORIGIN = "origin"  # in that file: what the statistics are of, JSON
# Of the configuration, what the statistics depend on ...
DECISIVE = ("seed", "batch_size", "model.", "bn.", "data.")
# ... but for where and how the data are read, and for keys of other statistics.
INDIFFERENT = ("data.source", "data.dir", "data.train", "data.val", "data.workers")
INDIFFERENT += ("data.eval_resize", "data.max_bad_fraction")
INDIFFERENT += ("bn.ema_decay", "bn.bias_correction", "bn.biased")


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
    batches = member.config.eval.population_batches
    file = Path(member.path) / FILE.format(batches=batches)
    mesh = fitting_mesh(member.config, mesh)
    origin = _origin(member, mesh)
    statistics = _kept(file, member, origin, say)
    if statistics is None:
        statistics = estimate(member, mesh, say)
        _keep(file, statistics, origin, say)
    return member.variables | {"batch_stats": statistics}


def estimate(member: Member, mesh, say) -> dict:
    """Returns batch_stats from the training batches after the member's last step.

    Raises:
      UserError: the training pictures cannot be read.
    """
    config = member.config
    try:
        parts = experiment.make(config, mesh)
    except UserError as error:
        raise UserError(
            f"{member.path}: Algorithm 2 averages over training pictures: {error}; or "
            f"evaluate with moving averages, --statistics ema"
        ) from error

    def report(done: int, of: int) -> None:
        if done % 50 == 0 or done == of:
            say(f"{member.name}: population statistics, batch {done} of {of}")

    variables = parallel.replicate(member.variables, mesh)
    now = variables, parts.feed, config.seed, member.step
    return parts.population(*now, config.eval.population_batches, report)


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
        "bn.noise": 0.0,  # files from before may be of that of training
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
