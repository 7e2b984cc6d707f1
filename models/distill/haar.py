"""Haar wavelet pieces as plain convolutions, so the exported graph holds no custom operator.

Tap order of the four bands: LL, LH, HL, HH; orthonormal (each filter has unit norm). Even sizes only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

BANDS = (
    ((1.0, 1.0), (1.0, 1.0)),
    ((1.0, 1.0), (-1.0, -1.0)),
    ((1.0, -1.0), (1.0, -1.0)),
    ((1.0, -1.0), (-1.0, 1.0)),
)


def taps() -> torch.Tensor:
    """The four 2x2 filters, [4,1,2,2]."""
    return torch.tensor(BANDS).unsqueeze(1) * 0.5


def dwt(x: torch.Tensor) -> torch.Tensor:
    """[N,C,H,W] to [N,4C,H/2,W/2], bands of one channel side by side. Raises ValueError on odd sizes."""
    channels, height, width = x.shape[1:]
    if height % 2 or width % 2:
        raise ValueError(f"Haar transform needs even sizes, got {height}x{width}")
    weight = taps().to(x).repeat(channels, 1, 1, 1)
    return F.conv2d(x, weight, stride=2, groups=channels)


def low_pass(x: torch.Tensor) -> torch.Tensor:
    """LL band with unit gain (average of 2x2), so that a constant map keeps its level."""
    return F.avg_pool2d(x, 2)


class Stem(nn.Module):
    """Fixed four-band transform of the picture as one grouped convolution: [N,3,112,112] to [N,12,56,56]."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.channels = channels
        self.register_buffer("weight", taps().repeat(channels, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight, stride=2, groups=self.channels)


def smoothed_kernel(kernel: torch.Tensor) -> torch.Tensor:
    """A 3x3 kernel followed by LL low-pass, as the one 4x4 kernel that does both at stride 2."""
    wide = F.pad(kernel, (0, 1, 0, 1)) + F.pad(kernel, (1, 0, 0, 1))
    wide = wide + F.pad(kernel, (0, 1, 1, 0)) + F.pad(kernel, (1, 0, 1, 0))
    return wide * 0.25


class LowPassConv(nn.Module):
    """3x3 stride-1 convolution, bias, LL low-pass; computed (and exported) as one 4x4 stride-2 convolution.

    `late` picks which neighbour the 2x2 average takes in. A strided convolution is centred on even pixels; LL moves
    the centre by half a pixel, to one side or the other. Alternating the side between stages keeps the whole network
    aligned with weights that were trained with strides.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, groups: int, late: bool):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())
        self.groups = groups
        self.pad = (1, 1, 1, 1) if late else (2, 0, 2, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, self.pad), smoothed_kernel(self.weight), self.bias, stride=2, groups=self.groups)
