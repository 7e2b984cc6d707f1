"""Exports a checkpoint as ONNX and proves that ONNX Runtime answers as PyTorch does.

    python -m distill.export --config runs/x/config.toml --checkpoint runs/x/checkpoint.pt --out student/x.onnx

Input `input` [batch,3,112,112] RGB 0..255; outputs `embedding` [batch,256] (not normalised) and `quality` [batch]
(expected cosine to the teacher on a sharp crop). Plain operators of opset 17 only.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

from . import build, config as configs
from .equalise import equalise
from .haar import LowPassConv, smoothed_kernel
from .quantise import faces
from .teachers import rgb_input

OPSET = 17
PARITY_MAX = 1e-4


class Deployed(nn.Module):
    """What goes into the file: embedding and quality."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor):
        z, q, _ = self.model(x)
        return z, q


class _Folded(nn.Module):
    def __init__(self, source: LowPassConv):
        super().__init__()
        self.register_buffer("weight", smoothed_kernel(source.weight.detach()))
        self.register_buffer("bias", source.bias.detach())
        self.pad, self.groups = source.pad, source.groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(x, self.pad)
        return nn.functional.conv2d(x, self.weight, self.bias, stride=2, groups=self.groups)


def fold(model: nn.Module) -> None:
    """Replaces every 3x3-plus-low-pass by its one 4x4 kernel, in place."""
    for name, child in model.named_children():
        if isinstance(child, LowPassConv):
            setattr(model, name, _Folded(child))
        else:
            fold(child)


def write(model: nn.Module, path: Path) -> None:
    """Writes and checks the ONNX file."""
    fold(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    example = torch.rand(2, 3, 112, 112) * 255.0
    torch.onnx.export(
        Deployed(model.eval()), (example,), str(path), opset_version=OPSET, dynamo=False,
        input_names=["input"], output_names=["embedding", "quality"],
        dynamic_axes={"input": {0: "batch"}, "embedding": {0: "batch"}, "quality": {0: "batch"}},
    )
    graph = onnx.load(str(path))
    # The exporter loses the width behind a flatten; the daemon compares declared shapes with its manifest.
    width = model.embedding.weight.shape[0]
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = width
    onnx.save(graph, str(path))
    onnx.checker.check_model(graph, full_check=True)
    custom = {n.op_type for n in graph.graph.node if n.domain not in ("", "ai.onnx")}
    if custom:
        raise ValueError(f"{path}: custom operators {sorted(custom)}")


def parity(model: nn.Module, path: Path, batches: tuple = (1, 3, 8)) -> float:
    """Largest difference of unit embeddings and of quality between PyTorch and ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    generator = torch.Generator().manual_seed(5)
    for size in batches:
        noise = torch.rand(size, 3, 14, 14, generator=generator) * 255.0
        x = nn.functional.interpolate(noise, size=(112, 112), mode="bilinear")
        with torch.no_grad():
            z, q, _ = model(x)
        z2, q2 = session.run(None, {"input": x.numpy()})
        z = nn.functional.normalize(z).numpy()
        z2 = z2 / np.linalg.norm(z2, axis=1, keepdims=True)
        worst = max(worst, float(np.abs(z - z2).max()), float(np.abs(q.numpy() - q2).max()))
    return worst


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    wanted = configs.load(arguments.config).network
    model = build.restore(wanted, arguments.checkpoint)
    # Compared with a copy, not with the file read again: training may be writing a newer one.
    original = copy.deepcopy(model)
    if wanted.route == "teacher":
        chips = np.stack([image for _, image in faces(140)])
        equalise(model, torch.from_numpy(rgb_input(chips)))
    write(model, arguments.out)
    worst = parity(original, arguments.out)
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, sha256 {digest}, parity {worst:.2e}")
    if worst > PARITY_MAX:
        raise SystemExit(f"parity {worst:.2e} is worse than {PARITY_MAX:.0e}; the file must not be used")


if __name__ == "__main__":
    main()
