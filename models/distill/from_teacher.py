"""The student that starts from a teacher: Intel face-reidentification-retail-0095 rebuilt in PyTorch with its weights.

Input is the daemon's contract, [N,3,112,112] RGB 0..255; the crop to the centre 96 columns, the stretch to 128x128 and
the colour order the original was trained with are part of the graph. The one-slope PReLUs are written as LeakyReLU,
which is the same function and three times faster in ONNX Runtime. Output [N,256], not normalised.

`downsample` is `stride` (the teacher's own strided convolutions) or `ll` (stride 1 followed by the Haar low-pass).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from .haar import LowPassConv

# (input, expanded, output, blocks that follow at this size); the first block of a row halves the map.
STAGES = ((64, 128, 64, 4), (64, 256, 128, 6), (128, 512, 128, 2))
# Which side the low-pass leans to at stem and stages: +0.5, +1, +2, -4 input pixels add up to half a pixel.
LATE = (True, True, True, False)
EMBEDDING = 256


class Weights:
    """The teacher's tensors in graph order: convolution kernels, biases and activation slopes."""

    def __init__(self, path: Path):
        graph = onnx.load(str(path)).graph
        tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.scale, self.shift = tensors["w0"].copy(), tensors["w1"].copy()
        self.kernels = [tensors[n.input[1]] for n in graph.node if n.op_type == "Conv"]
        self.slopes = [float(tensors[n.input[1]].reshape(-1)[0]) for n in graph.node if n.op_type == "PRelu"]
        adds = [n for n in graph.node if n.op_type == "Add" and n.input[1] in tensors]
        self.biases = [tensors[n.input[1]].reshape(-1) for n in adds[1:]]
        self.at = {"kernel": 0, "bias": 0, "slope": 0}

    def next(self, kind: str):
        """The next tensor of a kind, in the order the graph uses them."""
        source = {"kernel": self.kernels, "bias": self.biases, "slope": self.slopes}[kind]
        value = source[self.at[kind]]
        self.at[kind] += 1
        return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value

    def all_used(self) -> bool:
        """True when every tensor was taken exactly once."""
        used = (self.at["kernel"], self.at["bias"], self.at["slope"])
        return used == (len(self.kernels), len(self.biases), len(self.slopes))


class Leaky(nn.Module):
    """LeakyReLU with the slope the teacher learned; kept fixed."""

    def __init__(self, slope: float):
        super().__init__()
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # In place saves a tenth of the training time; its gradient is defined for slopes of one sign only.
        return F.leaky_relu(x, self.slope, inplace=self.training and self.slope > 0.0)


def conv(weights: Weights, stride: int = 1, padding: int = 0, bias: bool = True) -> nn.Conv2d:
    """The next convolution of the teacher as a PyTorch layer; depthwise when its kernel has one input channel."""
    kernel = weights.next("kernel")
    out, per_group = kernel.shape[:2]
    groups = out if per_group == 1 else 1
    channels = per_group * groups
    layer = nn.Conv2d(channels, out, kernel.shape[2:], stride, padding, groups=groups, bias=bias)
    layer.weight.data.copy_(kernel)
    if bias:
        layer.bias.data.copy_(weights.next("bias"))
    return layer


def halving(weights: Weights, downsample: str, late: bool) -> nn.Module:
    """The next convolution, halving the map by stride or by the Haar low-pass."""
    if downsample == "stride":
        return conv(weights, stride=2, padding=1)
    if downsample != "ll":
        raise ValueError(f"downsample must be stride or ll, got {downsample!r}")
    kernel = weights.next("kernel")
    groups = kernel.shape[0] if kernel.shape[1] == 1 else 1
    return LowPassConv(kernel, weights.next("bias"), groups, late)


class Block(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1, channel gate; residual unless it halves the map."""

    def __init__(self, weights: Weights, downsample: str | None, late: bool = True):
        super().__init__()
        self.residual = downsample is None
        self.expand = conv(weights)
        self.act1 = Leaky(weights.next("slope"))
        self.depth = conv(weights, padding=1) if downsample is None else halving(weights, downsample, late)
        self.act2 = Leaky(weights.next("slope"))
        self.project = conv(weights)
        self.squeeze = conv(weights)
        self.act3 = Leaky(weights.next("slope"))
        self.excite = conv(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.act2(self.depth(self.act1(self.expand(x)))))
        gate = torch.sigmoid(self.excite(self.act3(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        y = y * gate
        return x + y if self.residual else y


class TeacherStudent(nn.Module):
    """The rebuilt network; `forward` gives (embedding [N,256], quality [N], three stage maps)."""

    def __init__(self, path: Path, downsample: str = "stride"):
        super().__init__()
        weights = Weights(path)
        # The original reads BGR: its first kernel and scaling are turned round so that RGB goes in.
        weights.kernels[0] = weights.kernels[0][:, ::-1].copy()
        self.register_buffer("scale", torch.from_numpy(weights.scale[:, ::-1].copy()))
        self.register_buffer("shift", torch.from_numpy(weights.shift[:, ::-1].copy()))
        self.stem = halving(weights, downsample, LATE[0])
        self.stem_act = Leaky(weights.next("slope"))
        self.stem_depth = conv(weights, padding=1)
        self.stem_depth_act = Leaky(weights.next("slope"))
        self.stages = nn.ModuleList()
        for (_, _, _, repeats), late in zip(STAGES, LATE[1:]):
            blocks = [Block(weights, downsample, late)]
            blocks += [Block(weights, None) for _ in range(repeats)]
            self.stages.append(nn.Sequential(*blocks))
        self.head = conv(weights)
        self.head_act = Leaky(weights.next("slope"))
        self.global_depth = conv(weights)
        self.embedding = conv(weights, bias=False)
        if not weights.all_used():
            raise ValueError(f"{path.name}: not the expected graph, {weights.at} tensors used")
        self.quality = nn.Sequential(nn.Linear(STAGES[-1][2], 16), nn.ReLU(), nn.Linear(16, 1))

    def teacher_view(self, x: torch.Tensor) -> torch.Tensor:
        """[N,3,112,112] RGB 0..255 to the [N,3,128,128] the teacher's body was trained on."""
        x = F.interpolate(x[:, :, :, 8:104], size=(128, 128), mode="bilinear", align_corners=False)
        return x * self.scale + self.shift

    def forward(self, x: torch.Tensor):
        y = self.stem_depth_act(self.stem_depth(self.stem_act(self.stem(self.teacher_view(x)))))
        maps = []
        for stage in self.stages:
            y = stage(y)
            maps.append(y)
        z = self.embedding(self.global_depth(self.head_act(self.head(y)))).flatten(1)
        # The quality head learns from the features and must not bend them.
        q = self.quality(maps[-1].detach().mean((2, 3))).squeeze(1)
        return z, q, maps
