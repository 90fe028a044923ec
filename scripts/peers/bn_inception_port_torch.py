"""BN-Inception as Caffe's port to PyTorch has it: names, biases, padding, pools."""

import torch
from torch import nn
from torch.nn import functional

from peers.inception_torch import TABLE


class BNInception(nn.Module):
    """The port; its modules are called as in Caffe's prototxt.

    Takes [B, 3, H, W] in blue, green, red of 0..255 less (104, 117, 128). The last pool
    is over what remains; the port's own is over 7x7, the same at 224.
    """

    def __init__(self, classes: int = 1000):
        super().__init__()
        self._add("conv1_7x7_s2", 3, 64, 7, 2)
        self._add("conv2_3x3_reduce", 64, 64)
        self._add("conv2_3x3", 64, 192, 3)
        channels = 192
        for name, *row in TABLE:
            channels = self._add_module(f"inception_{name}", channels, row)
        self.last_linear = nn.Linear(channels, classes)

    def _add(self, name: str, inputs: int, outputs: int, size: int = 1, stride=1):
        conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
        self.add_module(name, conv)
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.9))

    def _add_module(self, name, inputs, row):
        one, reduce, three, double_reduce, double, pool, proj, stride = row
        if one:
            self._add(f"{name}_1x1", inputs, one)
        self._add(f"{name}_3x3_reduce", inputs, reduce)
        self._add(f"{name}_3x3", reduce, three, 3, stride)
        self._add(f"{name}_double_3x3_reduce", inputs, double_reduce)
        self._add(f"{name}_double_3x3_1", double_reduce, double, 3)
        self._add(f"{name}_double_3x3_2", double, double, 3, stride)
        if pool == "avg":
            pooling = nn.AvgPool2d(3, 1, 1, ceil_mode=True, count_include_pad=True)
        else:
            pooling = nn.MaxPool2d(3, stride, 2 - stride, ceil_mode=True)
        self.add_module(f"{name}_pool", pooling)
        if proj:
            self._add(f"{name}_pool_proj", inputs, proj)
        return one + three + double + (proj or inputs)

    def _layer(self, x: torch.Tensor, name: str) -> torch.Tensor:
        x = self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x))
        return functional.relu(x, inplace=True)

    def _chain(self, x: torch.Tensor, *names: str) -> torch.Tensor:
        for name in names:
            x = self._layer(x, name)
        return x

    def _module(self, x: torch.Tensor, name: str, row: tuple) -> torch.Tensor:
        one, *_, projection, _ = row
        branches = [self._layer(x, f"{name}_1x1")] if one else []
        branches.append(self._chain(x, f"{name}_3x3_reduce", f"{name}_3x3"))
        double = [f"{name}_double_3x3_{part}" for part in ("reduce", 1, 2)]
        branches.append(self._chain(x, *double))
        x = self.get_submodule(f"{name}_pool")(x)
        branches.append(self._layer(x, f"{name}_pool_proj") if projection else x)
        return torch.cat(branches, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, classes]."""
        x = self._layer(x, "conv1_7x7_s2")
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        x = self._chain(x, "conv2_3x3_reduce", "conv2_3x3")
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        for name, *row in TABLE:
            x = self._module(x, f"inception_{name}", row)
        return self.last_linear(x.mean((2, 3)))
