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

import hashlib
import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

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
# order of channels -> what Caffe's users subtract from them
MEAN = {"bgr": (104.0, 117.0, 128.0), "rgb": (128.0, 117.0, 104.0)}
NETWORK = {
    "model.name": "inception",
    "model.nonlinearity": "relu",
    "model.norm": "batch_norm",
    "model.norm_placement": "before",
    "model.width": 1.0,
    "model.first_conv": "full",
    "model.lrn": False,
    "model.per_activation_last": False,
    "model.padding": "port",
    "bn.epsilon": 1e-5,
    "bn.bias_correction": False,
}
BN_NAMES = {
    "weight": "scale",
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
}
_PORT_NAMES = {  # of layers that are not called like ours
    "conv1": "conv1_7x7_s2",
    "conv2_reduce": "conv2_3x3_reduce",
    "conv2": "conv2_3x3",
    "double_3x3_a": "double_3x3_1",
    "double_3x3_b": "double_3x3_2",
}


def import_run(file, config, workdir, channels="bgr", mean=None, deviation=(1, 1, 1)):
    """Writes a run folder with the network of a state dict; returns the weights' file.

    Args:
      file: the state dict, see `read_state`.
      config: a configuration of ImageNet; the network's keys are overridden.
      workdir: the new run folder.
      channels: the order that the network expects, "rgb" or "bgr".
      mean: subtracted from each of its channels, of 255; None: MEAN of them.
      deviation: what the difference is divided by, of 255.

    Raises:
      UserError: the file cannot be read, it is another network or has another number of
        classes than `config.data.classes`, a deviation or the largest mean is that
        of pixels of 0..1, or the folder holds a run already.
    """
    bad = not all(d >= 1 for d in deviation)  # nan as well
    if bad or (mean is not None and 0 < max(mean) <= 1):
        what = f"deviation is {list(deviation)}" if bad else f"mean is {list(mean)}"
        raise UserError(
            f"{what}; it must be that of pixels of 0..255: multiply mean and deviation "
            "of pixels of 0..1 by 255"
        )
    if (Path(workdir) / records.CONFIG).is_file():
        raise UserError(f"{workdir} holds a run already; name another --workdir")
    state = read_state(file)
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(NETWORK | _stated_by(state, config))
    config, stated = resolve(config)
    variables = convert(state, models.shapes(config), channels, mean, deviation)
    writer = RunWriter(workdir)
    record = as_record(config, stated)
    weights = checkpoint.save_weights(workdir, variables, 0, record)
    writer.write_config(record)
    sha256 = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    source = {"imported_from": str(file), "imported_sha256": sha256}
    writer.write_manifest(manifest.describe(config, variables["params"], **source))
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
        load = np.load if file.suffix == ".npz" else _load_torch  # refuses pickles
        arrays = dict(load(file))
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


def convert(state, shapes, channels="bgr", mean=None, deviation=(1, 1, 1)) -> dict:
    """Returns the state's arrays as variables of our network.

    Of arrays by the port's names, for `shapes` of `models.shapes`; the rest is as in
    `import_run`.

    Raises:
      UserError: an array is missing, left over, of another shape or not finite.
    """
    mean = MEAN[channels] if mean is None else mean
    like, found = flatten_dict(shapes), {}
    rest = {k: v for k, v in state.items() if not k.endswith(".num_batches_tracked")}
    take = partial(_take, rest)
    for path in [key[1:-2] for key in like if key[-1] == "var"]:
        params, stored = ("params", *path), ("batch_stats", *path)
        name, (*size, inputs, outputs) = port_name(path), like[*params, "kernel"].shape
        kernel = take(f"{name}.weight", outputs, inputs, *size).transpose(2, 3, 1, 0)
        biased = f"{name}.bias" in state
        bias = take(f"{name}.bias", outputs) if biased else np.zeros(outputs)
        if path == ("conv1",):
            kernel, bias = fold_input(kernel, bias, channels, mean, deviation)
        found[*params, "kernel"] = kernel
        for field, ours in BN_NAMES.items():
            place = stored if field.startswith("running_") else params
            found[*place, "bn", ours] = take(f"{name}_bn.{field}", outputs)
        found[*stored, "bn", "mean"] -= bias
    last = ("params", "classifier")
    name, (inputs, outputs) = _classifier(state), like[*last, "kernel"].shape
    found[*last, "kernel"] = take(f"{name}.weight", outputs, inputs).T
    found[*last, "bias"] = take(f"{name}.bias", outputs)
    if rest:
        raise UserError(
            f"the state dict holds {', '.join(sorted(rest)[:5])}, which the network "
            f"lacks: it is of another network"
        )
    return unflatten_dict({k: found[k].astype(x.dtype) for k, x in like.items()})


def port_name(path: tuple[str, ...]) -> str:
    """Returns the port's name of a layer of ours."""
    *module, layer = path
    name = _PORT_NAMES.get(layer, layer)
    return f"inception_{module[0]}_{name}" if module else name


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


def _take(rest: dict, name: str, *shape: int) -> np.ndarray:
    """Takes an array out of those that are left; returns it as float64."""
    if name not in rest:
        raise UserError(f"the state dict lacks {name}: it is of another network")
    array = np.asarray(rest.pop(name))
    if array.dtype.kind not in "fiu":
        raise UserError(f"{name} of the state dict is {array.dtype}, not real numbers")
    array = array.astype(np.float64)
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
        raise UserError(f"{name} of the state dict is negative, which no variance is")
    return array


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
