"""What training at the paper's length would take: the predictions of docs/costs.md."""

import json
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import table
from bn_repro import config_files, models
from bn_repro.analysis import scaling
from bn_repro.cli import ROOT
from bn_repro.conv_layers import ConvNormAct
from bn_repro.layers import Mode
from bn_repro.resolve import resolve
from configs import imagenet

PAGE = ROOT / "docs" / "costs.md"
BEGIN = "<!-- predicted: python scripts/benchmark.py --table -->"
END = "<!-- /predicted -->"
SMALL = 64  # pixels


def count(config, size: int) -> scaling.Counts:
    """Returns what the network of a resolved configuration asks for at size pixels."""
    model = models.build(config, None)
    found = []  # (inputs, outputs, products) of each convolutional layer

    def look(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        is_layer = isinstance(context.module, ConvNormAct)
        if is_layer and context.method_name == "__call__":
            kernels = {
                path: math.prod(x.shape)
                for path, x in jax.tree.leaves_with_path(
                    context.module.variables["params"]
                )
                if "kernel" in jax.tree_util.keystr(path)
            }
            z = result[0]
            products = sum(kernels.values()) * z.shape[1] * z.shape[2]
            found.append((arguments[0].size, z.size, products))
        return result

    def run(key):
        image = jnp.zeros((1, size, size, 3))
        return model.init(key, image, Mode(use_running_average=True))

    with nn.intercept_methods(look):
        variables = jax.eval_shape(run, jax.random.key(0))
    sizes = {
        name: sum(x.size for x in jax.tree.leaves(variables.get(name, {})))
        for name in ("params", "batch_stats")
    }
    inputs, outputs, products = map(sum, zip(*found, strict=True))
    products += variables["params"]["classifier"]["kernel"].size
    return scaling.Counts(*sizes.values(), products, inputs, outputs, len(found))


def networks(size: int) -> tuple[dict, dict]:
    """Returns name -> counts, and name -> examples, of Sec. 4.2.2's networks."""
    counts, examples, known = {}, {}, {}
    for name in imagenet.RUNS:
        config = resolve(config_files.load(f"imagenet:{name}"))[0]
        shape = config.model.norm, config.model.lrn
        known[shape] = known.get(shape) or count(config, size)
        counts[name] = known[shape]
        examples[name] = config.steps * config.batch_size
    return counts, examples


def a_core() -> int:
    """Returns full-size pictures a second that a core decodes, the least recorded."""
    found = [json.loads(path.read_text()) for path in table.FOLDER.glob("*.json")]
    return min(
        round(figure["median"])
        for record in found
        for row in record["sections"].get("input_pipeline", {"rows": []})["rows"]
        if "of a core" in row["what"]
        for figure in row["figures"]
        if figure["who"] in ("in process", "worker")
    )


def markdown() -> str:
    """Returns what stands between the markers of the page."""
    decoded = a_core()
    counts, examples = networks(224)
    small, _ = networks(SMALL)
    speed = scaling.rate(small["bn_x5"], scaling.ONE)
    one = scaling.ONE
    total = sum(n / scaling.rate(small[name], one) for name, n in examples.items())
    one = scaling.hours(total)
    shares = ", ".join(f"{share:.0%} of {k}" for k, share in scaling.SHARES.items())
    return "\n\n".join(
        [
            f"Assumed, not measured: {shares}; {scaling.ONE.launch} µs a layer of\n"
            "waiting on a GPU; float32 with the device's default products; nothing\n"
            f"overlaps; {scaling.MACHINES[0].batch} pictures on each device, whatever "
            "that does to accuracy.",
            scaling.table(counts, examples),
            f"Fig. 2 at {SMALL} pixels on all of ImageNet, full width, one H100,\n"
            f"{scaling.ONE.batch} pictures a step, decoded once and kept on the "
            f"device:\n{speed:,.0f} images a second with BN, all seven networks in "
            f"{one}.",
            f"Host cores for 224 pixels, at {decoded} pictures a second and core, the "
            "least\n[measured](measured.md):",
            scaling.cores_table(counts, decoded),
        ]
    )
