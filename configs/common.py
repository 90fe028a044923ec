"""Every configuration key with its default, unit and meaning.

An experiment file overrides some of these values; nothing else defines keys. Values
marked (open) are choices that the paper leaves open; docs/choices.md gives the reasons.
`bn_repro.resolve` validates the result and translates it to another batch size.
"""

from ml_collections import config_dict


def get_config() -> config_dict.ConfigDict:
    """Returns the default configuration: the MNIST network of Sec. 4.1, plain."""
    config = config_dict.ConfigDict()
    config.experiment = "mnist"  # names the experiment in records and figures
    config.seed = 0  # of parameters, dropout, augmentation and, by default, the order
    config.steps = 50_000  # optimiser steps at reference_batch
    config.batch_size = 60  # examples a step, over all devices
    config.reference_batch = 60  # steps, rate and decay are stated for this batch size
    config.batch_rule = "linear"  # rate at another batch: "linear" | "sqrt" | "none"
    config.steps_per_call = 500  # most steps before signals and divergence are seen
    config.log_every = 500  # steps between training records
    config.tensorboard = False  # also write TensorBoard summaries (extra "tensorboard")

    config.model = model()
    config.bn = batch_norm()
    config.data = data()
    config.optimizer = optimizer()

    config.eval = config_dict.ConfigDict()
    config.eval.every = 500  # steps between evaluations
    config.eval.early_every = 0  # in the first early_until steps; 0 = as later
    config.eval.early_until = 0  # step at which early_every ends
    config.eval.batch_size = 1_000  # examples a call; padded, so any number is exact
    config.eval.batch_statistics = True  # also evaluate with mini-batch statistics
    config.eval.train = False  # also evaluate on the training split (data in memory)
    config.eval.population_batches = 200  # training batches Algorithm 2 averages over
    config.eval.population_batches_during = 0  # likewise while training; 0 = off

    config.probe = config_dict.ConfigDict()
    config.probe.every = 1_000  # steps between probes of the activations; 0 = off
    config.probe.steps = ()  # probes at these steps, whatever the run's length
    config.probe.log_spaced = 0  # probes at this many logarithmically spaced steps
    config.probe.examples = 1_200  # of the evaluation split: first, or evenly spaced
    config.probe.batch_size = 60  # each normalised by its own statistics
    config.probe.percentiles = (15.0, 50.0, 85.0)  # of the input to each nonlinearity
    config.probe.locations = 64  # of a feature map, evenly spaced; 0 = all of them
    config.probe.units = 0  # units recorded a layer, evenly spaced; 0 = all of them
    config.probe.bins = 64  # of the histograms of each nonlinearity's input and output
    # measured besides: "shape" | "noise" | "jacobian" | "gradient_change", at a cost
    config.probe.measures = ()
    # inception: layers that "jacobian" is of, evenly spaced, first and last; 0 = all
    config.probe.jacobian_layers = 0
    # saturated: slope below this share of its largest
    config.probe.saturated_slope = 0.05

    config.checkpoint = config_dict.ConfigDict()
    config.checkpoint.every = 5_000  # steps between checkpoints
    config.checkpoint.keep = 2  # newest checkpoints kept
    return config


def with_overrides(config, runs: dict, name: str) -> config_dict.ConfigDict:
    """Returns config with the overrides of runs[name], of keys that it has."""
    if name not in runs:
        raise ValueError(f"no run {name!r} in this config; it has: {', '.join(runs)}")
    return changed(config, runs[name])


def changed(config, overrides: dict) -> config_dict.ConfigDict:
    """Returns config with overrides of its keys; KeyError for others, as none reads."""
    config.lock()
    config.update_from_flattened_dict(overrides)
    return config.unlock()


def getter(get_base, runs: dict, default: str, of_all=None, arms=()):
    """Returns a file's get_config: an entry of its RUNS by name -> a configuration.

    It is what get_base() returns, with the overrides `of_all`, a dict, and then the
    run's own. A name in `arms` means that arm's seed 0.
    """

    def get_config(name: str = default) -> config_dict.ConfigDict:
        name = f"{name}_seed0" if name in arms else name
        return with_overrides(changed(get_base(), of_all or {}), runs, name)

    return get_config


def with_seeds(arms: dict, seeds=range(5)) -> dict:
    """Returns RUNS: every arm, a name and its overrides, with every seed."""
    return {
        f"{arm}_seed{seed}": {**overrides, "seed": seed}
        for seed in seeds
        for arm, overrides in arms.items()
    }


def short_mnist(experiment: str, steps: int) -> config_dict.ConfigDict:
    """Returns a short run of the network of Fig. 1 at a rate of 0.1, small records."""
    config = get_config()
    config.experiment = experiment
    config.steps = config.checkpoint.every = steps
    config.log_every = config.eval.every = steps // 10
    config.eval.batch_statistics = False
    config.optimizer.learning_rate = 0.1
    config.probe.every = 0
    config.probe.log_spaced = 10
    config.probe.units = 10
    config.probe.bins = 32
    return config


def model() -> config_dict.ConfigDict:
    """Returns the network's keys; one marked "mlp:" is read by the mlp alone."""
    config = config_dict.ConfigDict()
    config.name = "mlp"  # "mlp" (Sec. 4.1) | "inception" (Fig. 5)
    config.nonlinearity = "sigmoid"  # "sigmoid" | "tanh" | "relu"
    config.norm = "none"  # "none" | "batch_norm" | "layer_norm" | ...: models.NORMS
    config.norm_placement = "before"  # the nonlinearity, the paper's | "after" it
    # share dropped; mlp: hidden outputs, inception: before softmax
    config.dropout = 0.0
    config.dtype = "float32"  # of computation: "float32" | "bfloat16" | "float64"
    # of products and convolutions in float32: "default" of the device | "highest"
    config.precision = "default"
    config.hidden = (100, 100, 100)  # mlp: units of each hidden layer
    config.init_stddev = 0.1  # mlp: of the Gaussian initial weights (open)
    config.init_scale = 1.0  # inception: factor on the convolutions' initial weights
    config.width = 1.0  # inception: factor on every layer's width
    config.first_conv = "separable"  # inception: "separable" (multiplier 8) | "full"
    # inception: pool projection of 4c and 4d, 128 | 96 (open)
    config.pool_proj_4cd = 128
    config.padding = "same"  # inception: "same" | "port", as in Caffe and PyTorch
    config.lrn = False  # inception: local response normalisation
    config.per_activation_last = False  # inception: per-activation BN in 5a and 5b
    return config


def batch_norm() -> config_dict.ConfigDict:
    """Returns the keys of Batch Normalization."""
    config = config_dict.ConfigDict()
    # normalised over: "device" | "global" | groups of "N" examples
    config.batch = "global"
    config.epsilon = 1e-5  # added to the variance (open)
    config.ema_decay = 0.99  # of the moving averages, a step at reference_batch (open)
    config.bias_correction = True  # moving averages are unbiased from the first step on
    # keep the biased variance in the moving average, as flax does
    config.biased = False
    # "full" (the paper's) | "stop": statistics are constants to the gradient
    config.gradient = "full"
    # after BN every unit's mean and log scale jump by up to this at every step; 0 = off
    config.noise = 0.0
    return config


def data() -> config_dict.ConfigDict:
    """Returns the keys of the data set, its order and its augmentation."""
    config = config_dict.ConfigDict()
    config.name = "mnist"  # "mnist" | "imagenet"
    # mnist: "packed" | "tfds"; imagenet: "image_folder" | "tfds"
    config.source = "packed"
    config.dir = ""  # tfds: data directory; "" = TFDS's default
    config.train = ""  # image_folder: folder or tar of the training classes
    config.val = ""  # image_folder: folder or tar of the validation classes
    # image_folder, tfds: decode the training pictures once and keep them on the devices
    config.on_device = False
    config.limit = 0  # only so many examples of each split; 0 = all
    config.classes = 10  # number of classes; checked against the data
    config.seed = -1  # of the examples' order; -1 = the run's seed
    config.threshold = 127  # mnist: a pixel above it is 1 (open); packed data: 127 only
    config.image_size = 28  # height and width of the network's input, pixels
    config.shuffle = "full"  # each epoch: "full" permutation | order of fixed "shard"s
    config.shard_size = 1_024  # examples a shard
    config.distortion = "none"  # photometric: "none" | "reduced" | "full"
    config.crop_area = (0.08, 1.0)  # training crop: share of the picture's area
    config.crop_aspect = (0.75, 1.3333333333333333)  # training crop: width / height
    config.flip = False  # training: mirror every second picture, at random
    # evaluation: shorter side, pixels, before the centre crop; 0 = 8/7 of image_size
    config.eval_resize = 256
    config.workers = 0  # decoding processes of each host; 0 = in the training process
    config.max_pixels = 100_000_000  # a picture of more is not decoded, but counted bad
    config.max_bad_fraction = 0.001  # stop when more of the pictures cannot be decoded
    return config


def optimizer() -> config_dict.ConfigDict:
    """Returns the keys of stochastic gradient descent."""
    config = config_dict.ConfigDict()
    config.learning_rate = 0.01  # initial, at reference_batch (MNIST: open)
    config.momentum = 0.0  # v = momentum v + g; w -= rate v
    config.l2 = 0.0  # adds l2 / 2 sum w^2 over weights, not gamma, beta or biases
    config.decay_factor = 1.0  # of the learning rate ...
    config.decay_epochs = 8.0  # ... every so many epochs, in steps
    config.warmup_steps = 0  # linear, at reference_batch; the paper has none
    return config
