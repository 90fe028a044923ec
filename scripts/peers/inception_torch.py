"""BN-Inception (Fig. 5) in PyTorch, as its users write it: the peer for step times."""

import torch
from torch import nn

# name, 1x1, 3x3 reduce, 3x3, double reduce, double 3x3, pool, projection, stride
TABLE = (
    ("3a", 64, 64, 64, 64, 96, "avg", 32, 1),
    ("3b", 64, 64, 96, 64, 96, "avg", 64, 1),
    ("3c", 0, 128, 160, 64, 96, "max", 0, 2),
    ("4a", 224, 64, 96, 96, 128, "avg", 128, 1),
    ("4b", 192, 96, 128, 96, 128, "avg", 128, 1),
    ("4c", 160, 128, 160, 128, 160, "avg", 128, 1),
    ("4d", 96, 128, 192, 160, 192, "avg", 128, 1),
    ("4e", 0, 128, 192, 192, 256, "max", 0, 2),
    ("5a", 352, 192, 320, 160, 224, "avg", 128, 1),
    ("5b", 352, 192, 320, 192, 224, "max", 128, 1),
)


class ConvNormReLU(nn.Module):
    """Convolution without bias, BatchNorm2d, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns relu(norm(conv(x)))."""
        return self.relu(self.norm(self.conv(x)))


class SeparableStem(nn.Module):
    """The 7x7/2 first convolution, depthwise with multiplier 8 and then 1x1."""

    def __init__(self, outputs: int = 64):
        super().__init__()
        self.depthwise = nn.Conv2d(3, 24, 7, 2, 3, groups=3, bias=False)
        self.pointwise = ConvNormReLU(24, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [B, outputs, H / 2, W / 2]."""
        return self.pointwise(self.depthwise(x))


class Inception(nn.Module):
    """One row of the table: up to four branches, concatenated."""

    def __init__(self, inputs: int, row: tuple):
        super().__init__()
        _, one, reduce, three, double_reduce, double, pool, projection, stride = row
        branches = [nn.Sequential(ConvNormReLU(inputs, one))] if one else []
        branches.append(
            nn.Sequential(
                ConvNormReLU(inputs, reduce), ConvNormReLU(reduce, three, 3, stride)
            )
        )
        branches.append(
            nn.Sequential(
                ConvNormReLU(inputs, double_reduce),
                ConvNormReLU(double_reduce, double, 3),
                ConvNormReLU(double, double, 3, stride),
            )
        )
        pooling = (
            nn.AvgPool2d(3, stride, 1, count_include_pad=False)
            if pool == "avg"
            else nn.MaxPool2d(3, stride, 1)
        )
        if projection:
            pooling = nn.Sequential(pooling, ConvNormReLU(inputs, projection))
        branches.append(pooling)
        self.branches = nn.ModuleList(branches)
        self.outputs = one + three + double + (projection or inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the branches side by side over channels."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def network(
    first_conv: str = "separable", classes: int = 1000, width: float = 1.0
) -> nn.Sequential:
    """Returns Fig. 5, pool projection 128 in 4c and 4d.

    Args:
      first_conv: "separable" or "full".
      classes: number of classes.
      width: factor on the width of every layer.
    """

    def scaled(features):
        return max(1, round(features * width)) if features else 0

    first, second = scaled(64), scaled(192)
    separable = first_conv == "separable"
    stem = SeparableStem(first) if separable else ConvNormReLU(3, first, 7, 2)
    layers = [stem, nn.MaxPool2d(3, 2, 1), ConvNormReLU(first, first)]
    layers += [ConvNormReLU(first, second, 3), nn.MaxPool2d(3, 2, 1)]
    channels = second
    for name, *row, stride in TABLE:
        row = [scaled(x) if isinstance(x, int) else x for x in row]
        layers.append(Inception(channels, (name, *row, stride)))
        channels = layers[-1].outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers)


def training_step(batch: int, image_size: int, width: float = 1.0, device: str = "cpu"):
    """Returns a function that takes one step of SGD and returns the loss."""
    torch.manual_seed(0)
    model = network(width=width).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=4e-5)
    criterion = nn.CrossEntropyLoss()
    images = torch.randn(batch, 3, image_size, image_size)
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch,), device=device)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()  # waits for the step

    return step
