"""WaveResNet-Mobile: Haar stem with all four bands, LL low-pass where maps are halved, ReLU only, global depthwise head.

Input [N,3,112,112] RGB 0..255; output (embedding [N,D], quality [N], three stage maps at 28, 14 and 7).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from . import haar

# stem and stage widths, expanded widths when halving, blocks per stage, width before the global depthwise layer.
SIZES = {
    "S": ((48, 48, 96, 128), (96, 192, 384), (3, 5, 2), 512),
    "M": ((64, 64, 128, 128), (128, 256, 512), (4, 6, 2), 512),
    "L": ((64, 64, 128, 192), (128, 256, 512), (6, 10, 3), 768),
}


def layer(inputs: int, outputs: int, size: int = 1, groups: int = 1, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution, batch normalisation and, unless linear, ReLU."""
    parts = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*parts, nn.ReLU(inplace=True)) if relu else nn.Sequential(*parts)


class Residual(nn.Module):
    """Expand, depthwise 3x3, project, add."""

    def __init__(self, width: int, expanded: int):
        super().__init__()
        self.body = nn.Sequential(
            layer(width, expanded), layer(expanded, expanded, 3, expanded), layer(expanded, width, relu=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Halving(nn.Module):
    """Expand, depthwise 3x3, then LL low-pass (or stride 2 in the depthwise layer), project.

    With `gated` the three high bands come back through one gain per band and channel, zero at the start, so the
    network itself says whether it wants them.
    """

    def __init__(self, inputs: int, expanded: int, outputs: int, downsample: str, gated: bool):
        super().__init__()
        if downsample not in ("ll", "stride"):
            raise ValueError(f"downsample must be ll or stride, got {downsample!r}")
        if gated and downsample != "ll":
            raise ValueError("gated_bands needs downsample = ll")
        self.low_pass = downsample == "ll"
        self.expand = layer(inputs, expanded)
        self.depth = layer(expanded, expanded, 3, expanded, 1 if self.low_pass else 2)
        self.project = layer(expanded, outputs, relu=False)
        self.gain = nn.Parameter(torch.zeros(expanded, 3, 1, 1)) if gated else None
        self.width = expanded

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depth(self.expand(x))
        if not self.low_pass:
            return self.project(y)
        if self.gain is None:
            return self.project(haar.low_pass(y))
        # All four bands with their gains are one depthwise 2x2 kernel; LL of the orthonormal transform is twice the
        # average, hence the half.
        bands = haar.taps().to(y).view(1, 4, 2, 2)
        kernel = 0.5 * bands[:, :1] + (bands[:, 1:] * self.gain).sum(1, keepdim=True)
        return self.project(F.conv2d(y, kernel, stride=2, groups=self.width))


class WaveResNet(nn.Module):
    """The student of route `wave`; `size` is S, M or L."""

    def __init__(self, size: str, dims: int, downsample: str = "ll", gated: bool = False):
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
        widths, expanded, repeats, top = SIZES[size]
        self.stem = haar.Stem(3)
        self.first = nn.Sequential(layer(12, widths[0], 3), layer(widths[0], widths[0], 3, widths[0]))
        self.stages = nn.ModuleList()
        for i in range(3):
            inside = widths[i + 1] * 2
            blocks: list[nn.Module] = [Halving(widths[i], expanded[i], widths[i + 1], downsample, gated)]
            blocks += [Residual(widths[i + 1], inside) for _ in range(repeats[i])]
            self.stages.append(nn.Sequential(*blocks))
        self.head = layer(widths[3], top)
        self.global_depth = nn.Sequential(nn.Conv2d(top, top, 7, groups=top, bias=False), nn.BatchNorm2d(top))
        self.embedding = nn.Conv2d(top, dims, 1, bias=False)
        self.norm = nn.BatchNorm1d(dims, affine=False)
        self.quality = nn.Sequential(nn.Linear(widths[3], 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: torch.Tensor):
        y = self.first(self.stem((x - 127.5) / 127.5))
        maps = []
        for stage in self.stages:
            y = stage(y)
            maps.append(y)
        z = self.norm(self.embedding(self.global_depth(self.head(y))).flatten(1))
        q = self.quality(maps[-1].detach().mean((2, 3))).squeeze(1)
        return z, q, maps
