"""Holds the import to the port's names and shapes; scripts/ holds it to its outputs."""

import jax
import numpy as np
import pytest

from bn_repro import models
from bn_repro.data import augment
from bn_repro.errors import UserError
from bn_repro.inference import import_weights
from bn_repro.run_folder import checkpoint, records
from configs import imagenet

CLASSES = 7
# Fig. 5 with the inputs of each module: 1x1, 3x3 reduce, 3x3, double, pool projection.
MODULES = {
    "3a": (192, 64, 64, 64, 64, 96, 32),
    "3b": (256, 64, 64, 96, 64, 96, 64),
    "3c": (320, 0, 128, 160, 64, 96, 0),
    "4a": (576, 224, 64, 96, 96, 128, 128),
    "4b": (576, 192, 96, 128, 96, 128, 128),
    "4c": (576, 160, 128, 160, 128, 160, 128),
    "4d": (608, 96, 128, 192, 160, 192, 128),
    "4e": (608, 0, 128, 192, 192, 256, 0),
    "5a": (1056, 352, 192, 320, 160, 224, 128),
    "5b": (1024, 352, 192, 320, 192, 224, 128),
}


def port_layers():
    """Returns the port's layers: name -> [C_out, C_in, height, width]."""
    layers = {
        "conv1_7x7_s2": (64, 3, 7, 7),
        "conv2_3x3_reduce": (64, 64, 1, 1),
        "conv2_3x3": (192, 64, 3, 3),
    }
    for module, (inputs, one, reduce, three, shrink, double, proj) in MODULES.items():
        found = {
            "1x1": (one, inputs, 1, 1),
            "3x3_reduce": (reduce, inputs, 1, 1),
            "3x3": (three, reduce, 3, 3),
            "double_3x3_reduce": (shrink, inputs, 1, 1),
            "double_3x3_1": (double, shrink, 3, 3),
            "double_3x3_2": (double, double, 3, 3),
            "pool_proj": (proj, inputs, 1, 1),
        }
        layers |= {f"inception_{module}_{k}": v for k, v in found.items() if v[0]}
    return layers


def port_state(fill):
    """Returns a state dict whose arrays are fill(shape)."""
    state = {}
    for name, shape in port_layers().items():
        state[f"{name}.weight"] = fill(shape)
        state[f"{name}.bias"] = fill(shape[:1])
        for field in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}_bn.{field}"] = fill(shape[:1])
        state[f"{name}_bn.running_var"] = np.abs(state[f"{name}_bn.running_var"])
        state[f"{name}_bn.num_batches_tracked"] = np.array(3)
    state["last_linear.weight"] = fill((CLASSES, 1024))
    state["last_linear.bias"] = fill((CLASSES,))
    return state


def get_config():
    config = imagenet.get_config("bn_baseline")
    config.data.classes = CLASSES
    return config


@pytest.fixture(scope="module")
def shapes():
    config = get_config()
    config.update_from_flattened_dict(import_weights.NETWORK)
    return models.shapes(config)


@pytest.fixture(scope="module")
def state():
    random = np.random.default_rng(0)
    return port_state(lambda shape: random.standard_normal(shape, np.float32))


def at(tree, path):
    for name in path.split("/"):
        tree = tree[name]
    return tree


LAYERS = {
    "conv2_reduce": "conv2_3x3_reduce",
    "conv2": "conv2_3x3",
    "3a/1x1": "inception_3a_1x1",
    "3c/double_3x3_a": "inception_3c_double_3x3_1",
    "4e/double_3x3_b": "inception_4e_double_3x3_2",
    "5b/pool_proj": "inception_5b_pool_proj",
}


def test_every_array_has_its_place(shapes, state):
    variables = import_weights.convert(state, shapes)
    assert jax.tree.structure(variables) == jax.tree.structure(shapes)
    for path, name in LAYERS.items():
        layer, stored = (
            at(variables["params"], path),
            at(variables["batch_stats"], path),
        )
        kernel = np.moveaxis(state[f"{name}.weight"], (0, 1), (3, 2))
        np.testing.assert_array_equal(layer["kernel"], kernel)
        bn = {k: state[f"{name}_bn.{k}"] for k in ("weight", "bias", "running_var")}
        np.testing.assert_array_equal(layer["bn"]["scale"], bn["weight"])
        np.testing.assert_array_equal(layer["bn"]["bias"], bn["bias"])
        np.testing.assert_array_equal(stored["bn"]["var"], bn["running_var"])
        mean = state[f"{name}_bn.running_mean"] - state[f"{name}.bias"]
        np.testing.assert_allclose(stored["bn"]["mean"], mean, rtol=1e-6)
    classifier = variables["params"]["classifier"]
    weight = state["last_linear.weight"].T
    np.testing.assert_array_equal(classifier["kernel"], weight)
    assert all(x.dtype == np.float32 for x in (*layer["bn"].values(), weight))


def test_the_mean_that_is_not_given_is_that_of_the_channels(shapes, state):
    """Blue's was taken from red where they come as red, green, blue."""
    found = import_weights.convert(state, shapes, "rgb")
    given = import_weights.convert(state, shapes, "rgb", (128, 117, 104))
    stored = [x["batch_stats"]["conv1"]["bn"]["mean"] for x in (found, given)]
    np.testing.assert_array_equal(*stored)


def test_input_scaling_is_folded_in():
    random = np.random.default_rng(0)
    pixels = random.uniform(0, 255, (7, 7, 3))  # what a window inside the image sees
    kernel, bias = random.normal(size=(7, 7, 3, 4)), random.normal(size=4)
    mean, deviation = (104, 117, 128), (1, 2, 3)
    theirs = (pixels[..., ::-1] - mean) / deviation
    expected = np.einsum("hwc,hwcf->f", theirs, kernel) + bias
    folded, offset = import_weights.fold_input(kernel, bias, "bgr", mean, deviation)
    ours = (pixels - augment.MEAN) / augment.STANDARD_DEVIATION
    found = np.einsum("hwc,hwcf->f", ours, folded) + offset
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    theirs = pixels - mean
    expected = np.einsum("hwc,hwcf->f", theirs, kernel) + bias
    folded, offset = import_weights.fold_input(kernel, bias, "rgb", mean, (1, 1, 1))
    found = np.einsum("hwc,hwcf->f", ours, folded) + offset
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_other_spellings_of_a_state_dict(shapes, state):
    """Old files have BN's arrays as [1, C]; some have no biases beside BN."""
    other = {}
    for name, array in state.items():
        if "_bn." in name and array.ndim:
            other[name] = array[None]
        elif name.endswith(".weight") or name.startswith("last_linear"):
            other[name.replace("last_linear", "fc")] = array
    found = import_weights.convert(other, shapes)
    zeros = {k: 0 * v for k, v in state.items() if k not in other and "_bn." not in k}
    expected = import_weights.convert(
        state
        | zeros
        | {f"last_linear.{k}": state[f"last_linear.{k}"] for k in ("weight", "bias")},
        shapes,
    )
    for path in LAYERS:
        for kind in ("params", "batch_stats"):
            for name, array in at(expected[kind], f"{path}/bn").items():
                got = at(found[kind], f"{path}/bn")[name]
                np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("inception_3a_1x1.weight", None, "lacks inception_3a_1x1.weight"),
        ("conv2_3x3_bn.running_var", None, "lacks conv2_3x3_bn.running_var"),
        ("last_linear.weight", None, "lacks last_linear"),
        ("inception_3d_1x1.weight", np.zeros(1), "holds inception_3d_1x1.weight"),
        ("conv2_3x3.weight", np.zeros((9, 64, 3, 3)), r"conv2_3x3.weight is \[9, 64"),
        ("conv2_3x3.bias", np.zeros(9), r"conv2_3x3.bias is \[9\] .* but \[192\]"),
        ("last_linear.bias", np.zeros(9), r"last_linear.bias is \[9\]"),
        ("conv2_3x3_bn.bias", np.full(192, np.nan), "conv2_3x3_bn.bias .* not finite"),
        ("conv2_3x3_bn.bias", np.full(192, 1e39), "conv2_3x3_bn.bias .* not finite"),
        ("conv2_3x3_bn.running_var", np.full(192, -1e-9), "running_var .* negative"),
        ("conv2_3x3_bn.running_var", np.full(192, np.inf), "running_var .* not finite"),
        (
            "conv2_3x3_bn.bias",
            np.full(192, "x"),
            "conv2_3x3_bn.bias .*not real numbers",
        ),
        ("conv2_3x3_bn.bias", np.full(192, 1j), "conv2_3x3_bn.bias .*not real numbers"),
    ],
)
def test_another_network_is_refused_by_name(shapes, state, name, value, message):
    changed = {k: v for k, v in state.items() if k != name}
    changed |= {} if value is None else {name: value}
    with pytest.raises(UserError, match=message):
        import_weights.convert(changed, shapes)


@pytest.mark.parametrize(
    "wrapped",
    [
        "module.{}",
        "module.module.{}",
        "_orig_mod.{}",
        "model._orig_mod.module.{}",
        "base_model.{}",
        "net.{}",
    ],
)
def test_wrappers_names_are_taken_off(tmp_path, wrapped):
    names = ("conv1_7x7_s2.weight", "inception_3a_1x1_bn.running_var", "fc.bias")
    arrays = {wrapped.format(name): np.zeros(3) for name in names}
    inside = {"conv2_3x3._orig_mod.weight": np.zeros(2)}  # one compiled layer
    np.savez(tmp_path / "port.npz", **arrays, **inside)
    state = import_weights.read_state(tmp_path / "port.npz")
    assert set(state) == {*names, "conv2_3x3.weight"}
    np.savez(tmp_path / "port.npz", **arrays, **{names[0]: np.ones(3)})
    with pytest.raises(UserError, match="holds conv1_7x7_s2.weight more than once"):
        import_weights.read_state(tmp_path / "port.npz")


def test_a_run_folder_that_others_can_read(tmp_path):
    state = {f"module.{k}": v for k, v in port_state(np.zeros).items()}
    np.savez(tmp_path / "port.npz", **state)
    config = get_config()
    config.model.norm_placement = "after"
    path = import_weights.import_run(tmp_path / "port.npz", config, tmp_path / "run")
    assert config.model.padding == "same"  # the caller's is left alone
    run = records.read_run(tmp_path / "run")
    assert run.status == {"status": "finished", "step": 0}
    assert run.config["model"]["padding"] == "port"
    assert run.config["model"]["norm_placement"] == "before"
    assert run.config["model"]["pool_proj_4cd"] == 128
    assert run.config["bn"]["epsilon"] == 1e-5
    params = 11_285_224 - 1025 * (1000 - CLASSES)
    assert run.manifest["parameter_count"] == params
    assert run.manifest["imported_from"].endswith("port.npz")
    arrays = checkpoint.read(path)
    assert len(arrays) == 69 * 5 + 2
    with pytest.raises(UserError, match="holds a run already; name another --workdir"):
        import_weights.import_run(tmp_path / "port.npz", config, tmp_path / "run")
    config.data.classes = 1000
    with pytest.raises(UserError, match="set --config.data.classes=7"):
        import_weights.import_run(tmp_path / "port.npz", config, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="there is no file .*port.npz"):
        import_weights.read_state(tmp_path / "port.npz")
    (tmp_path / "port.npz").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot read .*port.npz as a state dict"):
        import_weights.read_state(tmp_path / "port.npz")


def test_without_pytorch_it_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "port.pth").write_bytes(b"")
    monkeypatch.setattr(import_weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs PyTorch: install the extra 'bench'"):
        import_weights.read_state(tmp_path / "port.pth")


@pytest.mark.parametrize(
    ("deviation", "message"),
    [((0.229, 0.224, 0.225), "deviation is .0.229"), ((1, 1, 1), "mean is .0.485")],
)
def test_scaling_of_pixels_of_0_to_1_is_refused(tmp_path, deviation, message):
    mean = (0.485, 0.456, 0.406)
    with pytest.raises(UserError, match=f"{message}, .* by 255"):
        import_weights.import_run(
            tmp_path / "w.npz", get_config(), tmp_path / "run", "rgb", mean, deviation
        )


def test_an_import_that_failed_is_done_again(tmp_path):
    np.savez(tmp_path / "port.npz", **port_state(np.zeros))
    given = tmp_path / "port.npz", get_config(), tmp_path / "run", "rgb"
    with pytest.raises(UserError, match="not finite"):
        import_weights.import_run(*given, mean=(np.nan, 117.0, 104.0))
    assert import_weights.import_run(*given).is_file()
