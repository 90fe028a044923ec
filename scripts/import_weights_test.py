"""Holds an imported network to the outputs of the port, as PyTorch computes them."""

from functools import partial

import jax
import numpy as np
import pytest

from bn_repro import models
from bn_repro.data import augment
from bn_repro.inference import import_weights
from bn_repro.layers import Mode
from bn_repro.run_folder import checkpoint, records
from configs import imagenet

torch = pytest.importorskip("torch", reason="the extra 'bench' installs PyTorch")

from peers import bn_inception_port_torch  # noqa: E402

CLASSES = 7


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (4, 96, 64, 3), np.uint8)


def for_port(pictures):
    """Returns blue, green, red less the mean, [B, 3, H, W]."""
    bgr = pictures[..., ::-1] - np.array(augment.MEAN[::-1])
    return torch.tensor(np.moveaxis(bgr, -1, 1))


@pytest.fixture(scope="module")
def port(pictures):
    """A port with random weights and statistics that belong to them, in float64."""
    torch.manual_seed(0)
    network = bn_inception_port_torch.BNInception(CLASSES).double().train()
    for name, parameter in network.named_parameters():
        if "_bn." in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    with torch.no_grad():
        for _ in range(3):
            network(for_port(pictures))
    return network.eval()


@pytest.fixture(scope="module")
def run_folder(port, tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    torch.save({"state_dict": port.state_dict()}, folder / "port.pth")
    config = imagenet.get_config("bn_baseline")
    config.data.classes, config.model.dtype = CLASSES, "float64"
    mean = augment.MEAN[::-1]  # the same as ours, so that the border is exact too
    import_weights.import_run(
        folder / "port.pth", config, folder / "run", "bgr", mean, (1, 1, 1)
    )
    return folder / "run"


def logits(config, arrays, images):
    """Returns what our network makes of a run folder's weights."""
    variables = {}
    for name, array in arrays.items():
        *path, last = name.split("/")
        tree = variables
        for part in path:
            tree = tree.setdefault(part, {})
        tree[last] = array
    network = models.build(config)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def forward(variables, images):
        return network.apply(variables, augment.scale(images, "float64"), Mode(True))[0]

    return np.asarray(forward(variables, images))


def config_of(run):
    config = imagenet.get_base()
    stated = {k: v for k, v in run.config.items() if k != "stated"}
    config.update(stated)
    return config


def test_logits_are_the_ports(port, run_folder, pictures):
    with torch.no_grad():
        expected = port(for_port(pictures)).numpy()
    run = records.read_run(run_folder)
    assert run.status["status"] == "finished"
    config = config_of(run)
    arrays = checkpoint.read(run_folder / checkpoint.WEIGHTS)
    with jax.enable_x64(True):
        found = logits(config, arrays, pictures)
        config.model.padding = "same"
        shifted = logits(config, arrays, pictures)
    assert np.ptp(expected, 0).min() > 0.01  # it depends on the picture
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-9)
    assert np.abs(shifted - expected).max() / scale > 0.01  # the trap
