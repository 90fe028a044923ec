"""Sec. 4.2, Appendix, Fig. 5: the Inception network, with or without BN."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from bn_repro import conv_layers, convolutions, layers
from bn_repro.errors import UserError


class Row(NamedTuple):
    """One Inception module of Fig. 5; a width of 0 stands for no such layer."""

    name: str  # the figure's, without "inception"
    conv_1x1: int  # width of the 1x1 branch
    reduce_3x3: int  # width of the 1x1 layer before the 3x3 one
    conv_3x3: int  # width of the 3x3 layer
    reduce_double: int  # width of the 1x1 layer before the double 3x3 branch
    double_3x3: int  # width of both of its 3x3 layers
    pool: str  # "average" or "max"
    projection: int  # width of the 1x1 layer after the pool; 0 passes the pool through
    stride: int  # of the last 3x3 layer of each branch and of the pool


# The figure prints the input's size for 3c and 4e. In 4c and 4d its widths add up to
# 608 beside printed outputs of 576; `pool_proj_4cd` is 128 as printed, or 96 for 576.
FIGURE_5 = (
    #    #1x1  #3x3 reduce, #3x3  double #3x3 reduce, double #3x3  pool, proj  stride
    Row("3a", 64, 64, 64, 64, 96, "average", 32, 1),
    Row("3b", 64, 64, 96, 64, 96, "average", 64, 1),
    Row("3c", 0, 128, 160, 64, 96, "max", 0, 2),
    Row("4a", 224, 64, 96, 96, 128, "average", 128, 1),
    Row("4b", 192, 96, 128, 96, 128, "average", 128, 1),
    Row("4c", 160, 128, 160, 128, 160, "average", 128, 1),
    Row("4d", 96, 128, 192, 160, 192, "average", 128, 1),
    Row("4e", 0, 128, 192, 192, 256, "max", 0, 2),
    Row("5a", 352, 192, 320, 160, 224, "average", 128, 1),
    Row("5b", 352, 192, 320, 192, 224, "max", 128, 1),
)


class InceptionModule(nn.Module):
    """One row of Fig. 5: up to four branches side by side over channels."""

    row: Row  # the widths
    layer: Callable  # makes a ConvNormAct from its name, features, size and stride
    count_padding: bool = False  # zeros around the image count in average pools

    @nn.compact
    def __call__(self, u, mode: layers.Mode):
        """Returns the branches' outputs [B, H, W, C] and each nonlinearity's input."""
        row, taps = self.row, {}

        def conv(name, u, features, size=1, stride=1):
            layer = self.layer(features, size=size, stride=stride, name=name)
            z, taps[name] = layer(u, mode)
            return z

        branches = []
        if row.conv_1x1:
            branches.append(conv("1x1", u, row.conv_1x1))
        z = conv("3x3_reduce", u, row.reduce_3x3)
        branches.append(conv("3x3", z, row.conv_3x3, 3, row.stride))
        z = conv("double_3x3_reduce", u, row.reduce_double)
        z = conv("double_3x3_a", z, row.double_3x3, 3)
        branches.append(conv("double_3x3_b", z, row.double_3x3, 3, row.stride))
        if row.pool == "max":
            z = convolutions.max_pool(u, row.stride)
        else:
            z = convolutions.average_pool(u, row.stride, self.count_padding)
        if row.projection:
            z = conv("pool_proj", z, row.projection)
        branches.append(z)
        return jnp.concatenate(branches, -1), taps


class Inception(nn.Module):
    """Fig. 5: convolutions and pools, ten Inception modules, average, classifier.

    Works on any input of 32 pixels or more: the last average is over what remains.
    """

    classes: int  # number of classes
    layer: Callable  # makes a ConvNormAct from its name, features, size and stride
    last_layer: Callable  # the same for the layers of 5a and 5b
    width: float = 1.0  # factor on the width of every layer
    first_conv: str = "separable"  # depth multiplier 8, the paper's, or "full"
    pool_proj_4cd: int = 128  # width of the pool projection of 4c and 4d
    lrn: bool = False  # normalise responses after the first pool, before the second
    dropout: float = 0.0  # share of the classifier's inputs dropped while training
    # "same", or "port" as in Caffe's and PyTorch's networks: strided convolutions pad
    # every side alike (see `layer`), average pools count padding
    padding: str = "same"
    precision: str = "default"  # of products, see `layers.at_precision`
    dtype: Any = jnp.float32  # of the logits, float32 or wider

    @nn.compact
    @layers.at_precision
    def __call__(self, images, mode: layers.Mode):
        """Returns logits [B, classes] and taps, each nonlinearity's input [B, H, W, C].

        Of images [B, H, W, 3].

        Raises:
          UserError: padding is "port" and a side is no multiple of 32.
        """
        self._check_size(*images.shape[1:3])
        z, taps = self._stem(images, mode)  # [B, H / 8, W / 8, 192]
        for row in FIGURE_5:
            layer = self.last_layer if row.name in ("5a", "5b") else self.layer
            module = InceptionModule(
                self._widths(row), layer, self.padding == "port", name=row.name
            )
            z, more = module(z, mode)
            taps.update({f"{row.name}/{name}": tap for name, tap in more.items()})
        z = jnp.mean(z, (1, 2), dtype=self.dtype)  # [B, 1024]
        z = layers.dropout(z, self.dropout, mode.dropout_keys, 1)
        classifier = nn.Dense(
            self.classes, dtype=self.dtype, param_dtype=self.dtype, name="classifier"
        )
        return classifier(z), taps

    def _check_size(self, height: int, width: int) -> None:
        # Elsewhere the ports' convolutions and max pools give different sizes.
        if self.padding == "port" and (height % 32 or width % 32):
            raise UserError(
                f"model.padding is 'port', which needs images of a multiple of 32 "
                f"pixels, not {height} x {width}; use 'same'"
            )

    def _stem(self, images, mode):
        taps = OrderedDict()  # a plain dict comes out of jit sorted by name

        def conv(name, u, features, **shape):
            layer = self.layer(_scaled(features, self.width), **shape, name=name)
            z, taps[name] = layer(u, mode)
            return z

        lrn = conv_layers.local_response_norm if self.lrn else lambda z: z
        multiplier = 8 if self.first_conv == "separable" else 0
        z = conv("conv1", images, 64, size=7, stride=2, multiplier=multiplier)
        z = lrn(convolutions.max_pool(z, 2))
        z = conv("conv2_reduce", z, 64)
        z = lrn(conv("conv2", z, 192, size=3))
        return convolutions.max_pool(z, 2), taps

    def _widths(self, row: Row) -> Row:
        if row.name in ("4c", "4d"):
            row = row._replace(projection=self.pool_proj_4cd)
        widths = {
            name: _scaled(value, self.width)
            for name, value in row._asdict().items()
            if isinstance(value, int) and name != "stride"
        }
        return row._replace(**widths)


def _scaled(features: int, width: float) -> int:
    return max(1, round(features * width)) if features else 0


def from_config(config, norm, dtype, param_dtype) -> Inception:
    """Returns the network that a resolved configuration describes."""
    model = config.model
    layer = partial(
        conv_layers.ConvNormAct,
        nonlinearity=model.nonlinearity,
        placement=model.norm_placement,
        init_scale=model.init_scale,
        symmetric=model.padding == "port",
        dtype=dtype,
        param_dtype=param_dtype,
    )
    last_norm = norm
    if norm is not None and model.per_activation_last:
        last_norm = partial(norm, per_activation=True)
    return Inception(
        classes=config.data.classes,
        layer=partial(layer, norm=norm),
        last_layer=partial(layer, norm=last_norm),
        width=model.width,
        first_conv=model.first_conv,
        pool_proj_4cd=model.pool_proj_4cd,
        lrn=model.lrn,
        dropout=model.dropout,
        precision=model.precision,
        padding=model.padding,
        dtype=param_dtype,
    )
