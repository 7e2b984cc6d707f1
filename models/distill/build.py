"""Makes networks from a config: one place that knows the routes."""

from __future__ import annotations

from pathlib import Path

import torch

from . import from_teacher, network
from .config import Network
from .crops import shared_dir


def teacher_path() -> Path:
    """The Intel teacher's ONNX file in the shared folder."""
    return shared_dir() / "models" / "face-reidentification-retail-0095.onnx"


def student(wanted: Network) -> torch.nn.Module:
    """A fresh student (random, or holding the teacher's weights)."""
    if wanted.route == "teacher":
        return from_teacher.TeacherStudent(teacher_path(), wanted.downsample)
    if wanted.route == "wave":
        return network.WaveResNet(wanted.size, from_teacher.EMBEDDING, wanted.downsample, wanted.gated_bands)
    raise ValueError(f"network.route must be teacher or wave, got {wanted.route!r}")


def frozen_teacher() -> torch.nn.Module:
    """The teacher itself in PyTorch, for the terms that compare stage maps."""
    model = from_teacher.TeacherStudent(teacher_path(), "stride").eval()
    return model.requires_grad_(False)


def restore(wanted: Network, checkpoint: Path) -> torch.nn.Module:
    """The running mean of a checkpoint, ready to export or evaluate."""
    model = student(wanted)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(state["mean"])
    return model.eval()
