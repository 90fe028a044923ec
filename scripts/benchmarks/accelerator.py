"""What a GPU or TPU makes of the work here, against its public peaks and one device.

All sizes of a network are tried until the memory is full. The peaks are those of
`scaling.CHIPS`.
"""

import jax
import jax.numpy as jnp

from benchmarks import batch_norm, inception, timing
from benchmarks.timing import Figure, Row, alternate, counted, ratio
from bn_repro import config_files, experiment, feeds, parallel, train
from bn_repro.analysis import scaling
from bn_repro.layers import BatchNorm
from bn_repro.resolve import resolve
from bn_repro.sweep import vmapped

DTYPES = ("float32", "bfloat16")
BATCHES = (32, 64, 128, 256, 512, 1024)
MEMBERS, STEPS = (8, 54), 500
FULL = "out of memory"


def measure(toy: bool = False):
    """Yields bandwidth, members and images a second, on one device and on all."""
    peaks = scaling.CHIPS.get(jax.devices()[0].device_kind)
    yield from bandwidth(peaks, (2, 8, 8, 4) if toy else (256, 56, 56, 64))
    for members in (2,) if toy else MEMBERS:
        yield members_together(members, 2 if toy else STEPS)
    sizes = [(32, 0.02)] if toy else [(64, 1.0), (224, 1.0)]
    for size, width in sizes:
        for dtype in DTYPES:
            yield from images(peaks, size, width, dtype, (2,) if toy else BATCHES, toy)
    if len(jax.devices()) > 1:
        yield all_devices(*sizes[-1], 2 if toy else 128, 1 if toy else 9)


def bandwidth(peaks, shape):
    """Yields the bytes a second that BN, forward and backward, moves."""
    x, dy = (jax.random.normal(jax.random.key(i), shape) for i in (0, 1))
    step = batch_norm.compiled(BatchNorm(use_running_average=False), x, dy)
    run = lambda: jax.block_until_ready(step(x, dy))  # noqa: E731
    moved = counted(step, "bytes accessed") / 1e9
    ours = alternate({"ours": run}, 20)["ours"].per_second(moved, "GB/s")
    what = f"Accelerator: BN of {'x'.join(map(str, shape))}, GB/s"
    yield Row(what, ours.median, "", "time", (), [ours])
    if peaks:
        peak = Figure("peak", [peaks.memory] * len(ours.values), "GB/s")
        yield ratio(f"{what} over the device's", ours, peak, ">= 0.5")


def members_together(members: int, steps: int) -> Row:
    """Returns the steps a second of members in one program over those of one."""
    mesh = parallel.make_mesh(jax.devices()[:1])
    carries, found = [], []
    for seed in range(members):
        config = config_files.load("mnist:bn")
        config.seed, config.steps_per_call = seed, steps
        config = resolve(config)[0]
        parts = experiment.make(config, mesh)
        state = train.create_state(config, parts.recipe, parts.image_shape)
        carry = state, train.zero_sums(config)
        carries.append(parallel.replicate(carry, mesh))
        found.append(parts.feed)
    program, alone = vmapped.Program(found), jax.tree.map(jnp.copy, carries[0])

    def one():
        nonlocal alone
        alone = jax.block_until_ready(found[0].advance(*alone, 0, steps))

    def together():
        nonlocal carries
        carries = program.advance(carries, 0, steps, [True] * members)
        jax.block_until_ready(carries)

    seconds = alternate({"together": together, "one": one}, 1 if steps < 9 else 7)
    sides = [
        seconds[who].per_second(n * steps, "steps/s")
        for who, n in (("together", members), ("one", 1))
    ]
    return ratio(f"Accelerator: MNIST, {members} members over one, steps/s", *sides)


def images(peaks, size: int, width: float, dtype: str, batches, toy: bool):
    """Yields images a second, share of the peak and memory, batch by batch."""
    for batch in batches:
        case = inception.Case("", batch, size, width, 1 if toy else 9)
        name = f"Accelerator: Inception at {size}, {dtype}, batch {batch}"
        try:
            step, arguments = inception.compiled_step(case, dtype=dtype)
            compiled = step.lower(*arguments).compile()
            seconds = timed(compiled, arguments, case.rounds, f"{size}_{dtype}_{batch}")
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            yield Row(f"{name}: {FULL}", float("nan"))
            return
        ours = seconds.per_second(batch, "images/s")
        used = compiled.memory_analysis()
        held = used.temp_size_in_bytes + used.argument_size_in_bytes
        detail = f"{held / 1e9:.1f} GB"
        yield Row(f"{name}, images/s", ours.median, "", "time", (), [ours], detail)
        if peaks:
            peak = peaks[1 + DTYPES.index(dtype)]
            done = seconds.per_second(counted(compiled, "flops") / 1e12, "TFLOP/s")
            full = Figure("peak", [peak] * len(done.values), "TFLOP/s")
            yield ratio(f"{name}, FLOP/s over the device's", done, full)


def timed(step, arguments, rounds: int, name: str) -> Figure:
    """Returns the seconds of a compiled step that donates its state; profiles one."""
    run = inception.stepping(step, arguments)
    seconds = alternate({"ours": run}, rounds)["ours"]
    if timing.trace_to:
        with jax.profiler.trace(f"{timing.trace_to}/{name}"):
            run()
    return seconds


def all_devices(size: int, width: float, batch: int, rounds: int) -> Row:
    """Returns images a second on all devices over one's, the batch of each the same."""
    sides = []
    for devices in (jax.devices(), jax.devices()[:1]):
        case = inception.Case("", batch * len(devices), size, width, rounds)
        step, arguments = on_mesh(case, parallel.make_mesh(devices))
        state, sums, *rest = arguments
        carry = [state, sums]

        def run(step=step, carry=carry, rest=rest):
            carry[:] = jax.block_until_ready(step(*carry, *rest))

        who = f"{len(devices)} devices"
        seconds = alternate({who: run}, rounds)[who]
        sides.append(seconds.per_second(case.batch, "images/s"))
    what = f"Accelerator: Inception at {size}, batch {batch} a device, all over one"
    return ratio(what, *sides)


def on_mesh(case, mesh):
    """Returns the training step over a mesh, as the loop runs it, and its arguments."""
    config, recipe, state, batch = inception.parts(case, axis_name=parallel.AXIS)
    carry = parallel.replicate((state, train.zero_sums(config)), mesh)
    batch = parallel.shard(jax.device_get(batch), mesh)
    step = feeds.streamed_step(recipe, mesh)
    return step, (*carry, parallel.replicated_key(0, mesh), batch)
