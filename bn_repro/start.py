"""How a run starts: checked, resumed from its newest checkpoint, or new."""

import dataclasses
import time

import jax
import numpy as np

from bn_repro import (
    data,
    experiment,
    layers,
    models,
    pace,
    parallel,
    probe_measures,
    programs,
    sum_check,
    train,
    under_way,
)
from bn_repro.errors import UserError
from bn_repro.resolve import as_record, ignored, resolve
from bn_repro.run_folder import checkpoint, manifest, tensorboard
from bn_repro.under_way import Training


def prepare(config, devices=None):
    """Returns (resolved configuration, stated values, mesh), checked; see `run`."""
    sum_check.check_sums()
    config, stated = resolve(config)
    data.find(config.data)
    models.check_names(config)
    probe_measures.check_names(config.probe.measures)
    jax.config.update("jax_enable_x64", config.model.dtype == "float64")
    mesh = parallel.make_mesh(devices)
    per_device = parallel.check_batch(config.batch_size, mesh)
    if not ignored(["bn.batch"], [config]):
        layers.check_groups(config.bn.batch, per_device, mesh.size)
    experiment.refuse_single_values(config, mesh.size, config.batch_size)
    if 0 < config.data.limit < config.batch_size:
        raise UserError(
            f"batch_size is {config.batch_size}; it must be at most data.limit="
            f"{config.data.limit}"
        )
    return config, stated, mesh


def start_or_resume(config, stated, writer, parts, mesh, found) -> Training:
    """Returns the run as its newest checkpoint left it, or before its first step.

    It goes on from what `resume.look` found.
    """
    made = programs.so_far()
    saved = _saved(config, parts, found)
    step = found.checkpoint.step if found.checkpoint else 0
    run = Training(
        config=config,
        recorded=as_record(config, stated),
        parts=parts,
        writer=writer,
        summaries=None,
        state=parallel.replicate(saved["state"], mesh),
        sums=parallel.replicate(saved["sums"], mesh),
        step=step,
        seconds=float(saved["seconds"]),
        resumed_at=step,
        started=time.perf_counter(),
        made=made,
        origin=found.origin,
        pace=pace.Pace(step),
    )
    if found.checkpoint:
        writer.refuse_other_classes(parts.class_names, parts.class_folders)
        if run.state.batch_stats and config.bn.batch == "device":
            writer.refuse_other_devices(mesh.size)
        changed = writer.changed_data(parts.examples, parts.digests)
        for name in changed:
            parallel.say(f"{name}: other pictures than until here, or moved")
        found = found._replace(changed=found.changed | changed)
    if parallel.is_main():
        writer.cut(step if found.checkpoint else -1, found.forced)
        if step and (found.forced or not found.checkpoint.about.get("records")):
            under_way.save_checkpoint(run)  # names its run and its records from here on
            writer.background.wait()
        _record_start(run, found)
        run.summaries = _summaries(config, writer)
    return run


def _saved(config, parts, found) -> dict:
    """Returns the tree that `save_checkpoint` writes, as found or before any step."""
    state = train.create_state(config, parts.recipe, parts.image_shape)
    saved = {"state": state, "sums": train.zero_sums(config), "seconds": np.zeros(())}
    if not found.checkpoint:
        if checkpoint.not_finite(checkpoint.arrays_of(state.variables())):
            state = state.replace(first_bad_step=state.step)
        return saved | {"state": state}
    step, arrays, _ = found.checkpoint
    restored = checkpoint.restore(saved, arrays, _fields(saved))
    rate = restored["state"].learning_rate
    if found.origin and found.origin["step"] == step:
        rate = np.asarray(state.learning_rate)
        restored |= {
            "state": restored["state"].replace(learning_rate=rate),
            "sums": saved["sums"],
        }
    elif rate != state.learning_rate:
        raise UserError(
            f"the checkpoint of step {step:,} is of a run with learning rate {rate}, "
            f"not {state.learning_rate}"
        )
    parallel.say(f"Resuming from step {step:,}")
    return restored


def _record_start(run: Training, found) -> None:
    writer, step = run.writer, run.step
    writer.write_config(run.recorded)
    parts = run.parts
    writer.write_class_names(parts.class_names, parts.class_folders)
    of_data = {"data_sha256": parts.digests, "examples": parts.examples}
    of_data["classes"] = len(parts.class_names)
    devices = parts.feed.mesh.devices.flat
    described = manifest.describe(run.config, run.state.params, devices, **of_data)
    before = writer.manifest.get("starts", []) if found.checkpoint else []
    names = ("started", "command", "git_revision", "git_dirty", "devices")
    start = {name: described[name] for name in names} | {"step": step}
    if found.changed:
        start["changed"] = found.changed
    described["starts"] = [*before, start]
    described["started"] = described["starts"][0].get("started", start["started"])
    if run.origin:
        described["branched_from"] = run.origin
    writer.write_manifest(described)
    writer.write_status("running", step)


def _fields(saved: dict) -> list[str]:
    """Returns the fields of what `save` keeps, but for the network's: see `restore`."""
    names = {field.name for field in dataclasses.fields(saved["state"])}
    fields = [f"state/{name}" for name in sorted(names - {"params", "opt_state"})]
    return [*fields, *(f"sums/{name}" for name in saved["sums"])]


def _summaries(config, writer) -> tensorboard.Summaries | None:
    if not (config.tensorboard and parallel.is_main()):
        return None
    summaries = tensorboard.Summaries(writer.path)
    summaries.configuration(config)
    return summaries
