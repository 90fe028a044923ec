"""Weights of the common Caffe and PyTorch ports of BN-Inception, as a run of ours.

Their network is Fig. 5 with pool projections of 128 in 4c and 4d (a few have 96) and a
full 7x7 first convolution. What differs from ours, and what becomes of it:

- They pad as Caffe does: `model.padding` = "port" (see `convolutions`).
- Convolutions beside BN have biases: taken off BN's mean, where they do the same.
- eps is 1e-5, and there is no count of the moving averages' updates.
- They see blue, green, red of 0..255 less a mean: folded into the first convolution.
  This is exact but where its windows reach beyond the image: there they see their mean
  as the colour outside, ours sees ours, a difference of at most 5 of 255. On eight
  photographs, with random weights, that moved a logit by 2.7 % of the largest at most;
  "same" padding by 56 %.
"""

import functools
import hashlib
import importlib.util
import operator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bn_repro import models
from bn_repro.data import augment
from bn_repro.errors import UserError
from bn_repro.resolve import as_record, resolve
from bn_repro.run_folder import checkpoint, manifest, records
from bn_repro.run_folder.writer import RunWriter

# Parts of names that wrappers add: compiled, parallel, sharded or held in a module.
WRAPPERS = {
    *("_orig_mod", "module", "model", "net", "network", "base_model", "backbone"),
    *("_fsdp_wrapped_module", "_checkpoint_wrapped_module"),
}
HOLDERS = ("state_dict", "model_state_dict", "model")  # of a state dict in a checkpoint
CLASSIFIERS = ("last_linear", "fc_action", "fc")  # names in use
MEAN = (104.0, 117.0, 128.0)  # of blue, green, red, as Caffe's users subtract
NETWORK = {
    "model.name": "inception",
    "model.nonlinearity": "relu",
    "model.norm": "batch_norm",
    "model.width": 1.0,
    "model.first_conv": "full",
    "model.lrn": False,
    "model.per_activation_last": False,
    "model.padding": "port",
    "bn.epsilon": 1e-5,
    "bn.bias_correction": False,
}
_STEM = {
    "conv1": "conv1_7x7_s2",
    "conv2_reduce": "conv2_3x3_reduce",
    "conv2": "conv2_3x3",
}


def import_run(file, config, workdir, channels="bgr", mean=MEAN, deviation=(1, 1, 1)):
    """Writes a run folder with the network of a state dict; returns the weights' file.

    Args:
      file: the state dict, see `read_state`.
      config: a configuration of ImageNet; the network's keys are overridden.
      workdir: the new run folder.
      channels: the order that the network expects, "rgb" or "bgr".
      mean: subtracted from each of its channels, of 255.
      deviation: what the difference is divided by.

    Raises:
      UserError: the file cannot be read, it is another network or has another number of
        classes than `config.data.classes`, or the folder holds a run already.
    """
    if (Path(workdir) / records.CONFIG).is_file():
        raise UserError(f"{workdir} holds a run already; name another --workdir")
    state = read_state(file)
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(NETWORK | _stated_by(state, config))
    config, stated = resolve(config)
    variables = convert(state, models.shapes(config), channels, mean, deviation)
    writer = RunWriter(workdir)
    record = as_record(config, stated)
    writer.write_config(record)
    writer.write_manifest(
        manifest.describe(config, variables["params"])
        | {"imported_from": str(file), "imported_sha256": _sha256(file)}
    )
    weights = checkpoint.save_weights(workdir, variables, 0, record)
    writer.write_status("finished", 0)
    return weights


def read_state(file) -> dict[str, np.ndarray]:
    """Returns the arrays of a state dict by name.

    Args:
      file: an .npz, or what `torch.save` wrote, which PyTorch is needed to read. The
        state may lie under one of HOLDERS, and its names may hold WRAPPERS.

    Raises:
      UserError: the file cannot be read, or two of its names are one without wrappers.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    try:
        arrays = _load_npz(file) if file.suffix == ".npz" else _load_torch(file)
    except UserError:
        raise
    except Exception as error:  # neither format promises what it raises
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"cannot read {file} as a state dict: {reason[0]}") from error
    state = {}
    for name, array in arrays.items():
        bare = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if bare in state:
            raise UserError(f"{file} holds {bare} more than once, one as {name}")
        state[bare] = array
    return state


def _load_npz(file):
    with np.load(file, allow_pickle=False) as content:
        return dict(content)


def _load_torch(file):
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            f"reading {file} needs PyTorch: install the extra 'bench', or save the "
            f"state dict's arrays as .npz elsewhere"
        )
    import torch

    content = torch.load(file, map_location="cpu", weights_only=True)
    while held := [content[k] for k in HOLDERS if isinstance(content.get(k), dict)]:
        content = held[0]
    tensors = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)}
    exact = {torch.bfloat16: torch.float32}  # numpy has no bfloat16
    return {k: v.to(exact.get(v.dtype, v.dtype)).numpy() for k, v in tensors.items()}


def convert(state, shapes, channels="bgr", mean=MEAN, deviation=(1, 1, 1)) -> dict:
    """Returns the state's arrays as variables of our network.

    Args:
      state: arrays of the port by name.
      shapes: of our variables, see `models.shapes`.
      channels: as in `import_run`, likewise the following.
      mean: of each channel.
      deviation: of each channel.

    Raises:
      UserError: an array is missing, left over, of another shape or not finite.
    """
    rest = _Rest(state)
    variables = {"params": {}, "batch_stats": {}}
    for path in layer_paths(shapes["batch_stats"]):
        like = functools.reduce(operator.getitem, path, shapes["params"])["kernel"]
        kernel, bias, norm = rest.take_layer(port_name(path), like.shape)
        if path == ("conv1",):
            kernel, bias = fold_input(kernel, bias, channels, mean, deviation)
        bn = {"scale": norm["weight"], "bias": norm["bias"]}
        _put(variables["params"], path, {"kernel": kernel, "bn": bn})
        moments = {"mean": norm["running_mean"] - bias, "var": norm["running_var"]}
        _put(variables["batch_stats"], path, {"bn": moments})
    like = shapes["params"]["classifier"]["kernel"]
    variables["params"]["classifier"] = rest.take_classifier(like.shape)
    rest.check_empty()
    return jax.tree.map(lambda like, x: x.astype(like.dtype), shapes, variables)


def layer_paths(tree, path=()) -> list[tuple[str, ...]]:
    """Returns the paths of the layers that own a BN, in a tree of batch_stats."""
    if "bn" in tree:
        return [path]
    return [p for name in tree for p in layer_paths(tree[name], (*path, name))]


def port_name(path: tuple[str, ...]) -> str:
    """Returns the port's name of a layer of ours."""
    if len(path) == 1:
        return _STEM[path[0]]
    module, layer = path
    ours = {"double_3x3_a": "double_3x3_1", "double_3x3_b": "double_3x3_2"}
    layer = ours.get(layer, layer)
    return f"inception_{module}_{layer}"


def fold_input(kernel, bias, channels: str, mean, deviation):
    """Returns the first convolution for our input scaling instead of the port's.

    Args:
      kernel: [7, 7, 3, C] of the port, over its channels.
      bias: [C].
      channels: their order, "rgb" or "bgr".
      mean: [3] in that order, subtracted from pixels of 0..255.
      deviation: [3], what the difference is divided by.

    Returns:
      (kernel, bias) for red, green, blue scaled by `augment.scale`.
    """
    order = ["rgb".index(channel) for channel in channels]
    our_mean = np.array(augment.MEAN)[order]
    our_deviation = np.array(augment.STANDARD_DEVIATION)[order]
    # theirs = (our_deviation ours + our_mean - mean) / deviation
    offset = (our_mean - np.asarray(mean)) / deviation
    bias = bias + np.einsum("hwcf,c->f", kernel, offset)
    kernel = kernel * (our_deviation / deviation)[:, None]
    return kernel[:, :, np.argsort(order)], bias


class _Rest:
    """The arrays of a state dict that have not been taken yet."""

    def __init__(self, state):
        names = [name for name in state if not name.endswith(".num_batches_tracked")]
        self._arrays = {name: state[name] for name in names}

    def take(self, name: str, *shape: int) -> np.ndarray:
        if name not in self._arrays:
            raise UserError(f"the state dict lacks {name}: it is of another network")
        array = _numbers(name, self._arrays.pop(name))
        if array.shape == (1, *shape):  # BN's arrays in old files
            array = array[0]
        if array.shape != shape:
            raise UserError(
                f"{name} is {list(array.shape)} in the state dict but {list(shape)} in "
                f"the network"
            )
        if not (np.abs(array) <= np.finfo(np.float32).max).all():
            raise UserError(f"{name} of the state dict is not finite in float32")
        if name.endswith(".running_var") and (array < 0).any():
            raise UserError(
                f"{name} of the state dict is negative, which no variance is: the file "
                "is damaged or holds something else"
            )
        return array

    def take_layer(self, name: str, shape: tuple[int, ...]):
        """Returns kernel, bias (0 if there is none) and the arrays of the BN."""
        height, width, inputs, outputs = shape
        kernel = self.take(f"{name}.weight", outputs, inputs, height, width)
        bias = np.zeros(outputs)
        if f"{name}.bias" in self._arrays:
            bias = self.take(f"{name}.bias", outputs)
        norm = {
            field: self.take(f"{name}_bn.{field}", outputs)
            for field in ("weight", "bias", "running_mean", "running_var")
        }
        return kernel.transpose(2, 3, 1, 0), bias, norm

    def take_classifier(self, shape: tuple[int, int]) -> dict:
        """Returns kernel and bias."""
        name, (inputs, outputs) = _classifier(self._arrays), shape
        kernel = self.take(f"{name}.weight", outputs, inputs).T
        return {"kernel": kernel, "bias": self.take(f"{name}.bias", outputs)}

    def check_empty(self) -> None:
        if self._arrays:
            raise UserError(
                f"the state dict holds {', '.join(sorted(self._arrays)[:5])}, which "
                f"the network lacks: it is of another network"
            )


def _numbers(name: str, array) -> np.ndarray:
    """Returns an array of a state dict as float64."""
    array = np.asarray(array)
    if array.dtype == np.dtype("V2"):  # as numpy keeps bfloat16 in a file
        array = array.view(jnp.bfloat16)
    if array.dtype.kind not in "fiu" and array.dtype != jnp.bfloat16:
        raise UserError(f"{name} of the state dict is {array.dtype}, not real numbers")
    return array.astype(np.float64)


def _classifier(state) -> str:
    for name in CLASSIFIERS:
        if f"{name}.weight" in state:
            return name
    raise UserError(f"the state dict lacks {CLASSIFIERS[0]}: it is of another network")


def _stated_by(state, config) -> dict:
    """Returns the overrides that the state's shapes ask for."""
    classes = len(state[f"{_classifier(state)}.weight"])
    if classes != config.data.classes:
        raise UserError(
            f"the state dict has {classes} classes, but data.classes is "
            f"{config.data.classes}: set --config.data.classes={classes}"
        )
    projection = state.get("inception_4c_pool_proj.weight", np.empty(128))
    return {"model.pool_proj_4cd": len(projection)}


def _put(tree: dict, path: tuple[str, ...], value: dict) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _sha256(file) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
