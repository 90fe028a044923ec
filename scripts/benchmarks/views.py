"""What 144 views of a picture cost over as many forward passes (Sec. 4.2.3).

The pictures are ImageNet's at their full size, the network a quarter as wide at 64
pixels, so that decoding and cropping weigh more here than they would at 224.
"""

import pathlib
import tempfile

import jax
import numpy as np

from benchmarks import SAMPLE
from benchmarks.timing import alternate, missing, ratio
from bn_repro import config_files, models, parallel
from bn_repro.inference import members, predict, splits
from bn_repro.resolve import resolve

PICTURES, CROPS, BATCH, ROUNDS = 24, 144, 144, 5


def measure(toy: bool = False):
    """Yields the ratio of an evaluation's time to that of its forward passes alone."""
    if not SAMPLE.exists():
        yield missing(f"144 views: no {SAMPLE.name}")
        return
    member = untrained(str(SAMPLE))
    mesh = parallel.make_mesh()
    split = splits.open_split(member.config, CROPS)
    with tempfile.TemporaryDirectory() as folder:
        seconds = alternate(
            {
                "evaluation": evaluation(member, split, mesh, pathlib.Path(folder)),
                "forward": forward(member, split, mesh),
            },
            1 if toy else ROUNDS,
        )
    what = "144 views: time over that of the forward passes alone"
    yield ratio(what, *seconds.values(), "<= 1.15", f"{PICTURES} pictures")


def untrained(tar: str) -> members.Member:
    """Returns a network of random weights that looks at the pictures of a tar."""
    config = config_files.load("tiny_imagenet:bn_x30")
    changes = {"data.val": tar, "data.classes": 250, "data.limit": PICTURES}
    config.update_from_flattened_dict(changes)
    config = resolve(config)[0]
    random = np.random.default_rng(0)

    def draw(path, leaf):
        positive = path[-1].key in ("scale", "var")
        spread = np.sqrt(2 / max(np.prod(leaf.shape[:-1]), 1))
        return np.float32(positive + random.normal(0, 0.1 * spread, leaf.shape))

    variables = jax.tree_util.tree_map_with_path(draw, models.shapes(config))
    return members.Member("untrained", pathlib.Path(), config, variables, 0)


def evaluation(member, split, mesh, folder):
    """Returns what evaluates all pictures, files and crops included."""
    step = predict.compile_step(member, split, mesh)

    def run():
        part = folder / "part.npz"
        part.unlink(missing_ok=True)
        predict.predict(member, member.variables, split, mesh, BATCH, part, step=step)

    return run


def forward(member, split, mesh):
    """Returns what makes the same forward passes of pictures that are there already."""
    step = predict.compile_step(member, split, mesh)
    variables = parallel.replicate(member.variables, mesh)
    pictures = max(1, BATCH // split.crops // mesh.size) * mesh.size
    batch = next(iter(split.batches(0, pictures)))
    images = parallel.shard(batch["image"], mesh)

    def run():
        for _ in range(-(-PICTURES // pictures)):
            jax.block_until_ready(step(variables, images))

    return run
