"""Residual networks for pictures (He et al. 2016), with torchvision's names of parameters.

The bottleneck variant with the stride in its 3 x 3 convolution, as torchvision has it, so that its
weight files fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4
RESNET152 = (3, 8, 36, 3)
"""Blocks of each stage, table 1."""


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions beside a shortcut: figure 5, right."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = EXPANSION * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, 4 * width, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet(nn.Module):
    """Four stages of ``depths`` blocks; ``width`` channels in the first, doubled in each next.
    ``classes``: None leaves out the classifier ``fc``."""

    def __init__(self, depths: Sequence[int], classes: int | None = None, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels, stages = width, []
        for stage, depth in enumerate(depths):
            blocks = []
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(channels, width * 2**stage, stride))
                channels = EXPANSION * width * 2**stage
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = None if classes is None else nn.Linear(channels, classes)
        self.size = channels

    def features(self, pictures: Tensor) -> Tensor:
        """(N, 3, h, w), normalised -> (N, size): the last stage, averaged over all places."""
        x = F.relu(self.bn1(self.conv1(pictures)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = x.mean((2, 3))
        return pooled

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, h, w) -> scores (N, classes), or features where there is no classifier."""
        pooled = self.features(pictures)
        return pooled if self.fc is None else self.fc(pooled)
