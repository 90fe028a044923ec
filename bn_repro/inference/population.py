"""Algorithm 2, steps 7 to 10: statistics of the population for the inference network.

The parameters are frozen, N training mini-batches pass through the network, each
normalised by its own statistics, and for every BN E[x] is the mean of the mini-batches'
mu and Var[x] the mean of m / (m - 1) times their s2, with that layer's m. A mini-batch
is what `bn.batch` normalises together. Pictures are augmented as in training; dropout
is off, as in the network that the statistics are for.
"""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import config_dict

from bn_repro import experiment, models, parallel, train
from bn_repro.errors import UserError
from bn_repro.inference import members, predict
from bn_repro.inference.members import Member
from bn_repro.layers import Mode
from bn_repro.parallel import AXIS, REPLICATED, SHARDED
from bn_repro.resolve import check_groups
from bn_repro.run_folder import checkpoint, files, recorded

FILE = "population_{batches}.npz"  # in the run folder
ORIGIN = "origin"  # in that file: what the statistics are of, JSON
# Of the configuration, what the statistics depend on ...
DECISIVE = ("seed", "batch_size", "model.", "bn.", "data.")
# ... but for where and how the data are read, and what only other statistics need.
INDIFFERENT = ("data.dir", "data.train", "data.val", "data.workers")
INDIFFERENT += ("data.eval_resize", "data.max_bad_fraction")
INDIFFERENT += ("bn.ema_decay", "bn.bias_correction")


def batch_statistics(variables, batch, key, step, *, recipe, axis_name=AXIS):
    """Returns mu and m / (m - 1) s2 of one batch, as batch_stats; means over groups.

    Args:
      variables: of the network, replicated.
      batch: this device's {"image" [b, ...], "position" [b]}.
      key: of the run, for the augmentation.
      step: of the batch, likewise.
      recipe: holds the network and its input transform.
      axis_name: mesh axis of the examples; None on one device without a mesh.
    """
    keys = train.example_keys(key, step, batch["position"])
    # The first update of bias-corrected averages is the mini-batch's statistics.
    fresh = {
        "params": variables["params"],
        "batch_stats": jax.tree.map(jnp.zeros_like, variables["batch_stats"]),
        "ema_count": _no_updates(variables["batch_stats"]),
    }
    images = recipe.inputs(batch["image"], keys)
    mode = Mode(update_stats=True)
    _, updated = recipe.model.apply(fresh, images, mode, mutable=train.STATISTICS)
    statistics = updated["batch_stats"]
    return statistics if axis_name is None else lax.pmean(statistics, axis_name)


def _no_updates(batch_stats: dict) -> dict:
    """Returns the ema_count of networks that had no update, one for each BN."""
    if "mean" in batch_stats:
        return {"t": jnp.zeros((), jnp.int32)}
    return {name: _no_updates(below) for name, below in batch_stats.items()}


def estimate(member: Member, parts, mesh, counts, report=lambda done, of: None) -> dict:
    """Returns the population statistics from the first N batches, for several N.

    The batches are those that would follow the member's last training step, so they are
    the same at any time and on any number of devices; so are the statistics, but for
    `bn.batch` = "device".

    Args:
      member: the trained network.
      parts: its `experiment.Experiment`.
      mesh: the devices.
      counts: numbers of batches N.
      report: called with (batches done, of how many).

    Returns:
      {N: batch_stats}, numpy arrays of the dtype of the network's statistics.
    """
    step = partial(batch_statistics, recipe=parts.recipe)
    specs = (REPLICATED, SHARDED, REPLICATED, REPLICATED)
    step = jax.jit(parallel.spmd(step, mesh, specs, REPLICATED))
    variables = parallel.replicate(member.variables, mesh)
    key = parallel.replicated_key(member.config.seed, mesh)
    batches = parts.feed.batches(member.step)
    total, found = None, {}
    for n in range(1, max(counts) + 1):
        batch = next(batches)
        batch = {name: batch[name] for name in ("image", "position")}
        statistics = step(variables, batch, key, np.int32(member.step + n - 1))
        wide = jax.tree.map(np.float64, jax.device_get(parallel.local(statistics)))
        total = wide if total is None else jax.tree.map(np.add, total, wide)
        report(n, max(counts))
        if n in counts:
            found[n] = jax.tree.map(partial(_mean, n=n), total, statistics)
    return found


def _mean(total, like, n: int):
    return (total / n).astype(like.dtype)


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
        parts = experiment.make(member.config, mesh)
        statistics = estimate(member, parts, mesh, (n,), _counter(member, say))[n]
        _keep(file, statistics, origin, say)
    return member.variables | {"batch_stats": statistics}


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
    try:
        check_groups(config, config.batch_size // devices)
    except UserError:
        return False
    return config.batch_size % devices == 0


def _origin(member: Member, mesh) -> dict:
    """Returns what the statistics depend on by name; None where it cannot be told."""
    config = member.config
    flat = recorded.flatten(files.plain(config.to_dict()))
    origin = {
        k: v for k, v in flat.items() if k.startswith(DECISIVE) and k not in INDIFFERENT
    }
    return origin | {
        "weights": members.fingerprint(member),
        "step": member.step,
        "devices": mesh.size if config.bn.batch == "device" else 1,
        "training examples": _training_examples(config),
    }


def _training_examples(config) -> int | None:
    """Returns the number of training examples; None where they are not here."""
    try:
        return predict.open_split(config, name="train").count
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
    there = json.loads(str(arrays.pop(ORIGIN)))
    differing = [
        name
        for name, value in origin.items()
        if value is not None and there.get(name) != value
    ]
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
        measured = evaluation(parallel.replicate(variables, mesh))
        rows.append({"statistics": kind, "batches": batches, "biased": biased})
        rows[-1] |= measured
        report(f"{kind}, N {batches}, biased {biased}: {measured['accuracy']:.4f}")

    add("batch", evaluations["batch"])
    add("ema", evaluations["ema"], biased=config.bn.biased)
    for biased in (False, True):
        config.bn.biased = biased
        model = models.build(config, AXIS)
        changed = parts._replace(recipe=parts.recipe.replace(model=model))
        for n, found in estimate(member, changed, mesh, counts).items():
            add("population", evaluations["ema"], found, n, biased)
    return rows
