"""Makes networks from a config: one place that knows the routes."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from . import from_teacher, network
from .config import Network
from .crops import shared_dir


def teacher_path() -> Path:
    """The Intel teacher's ONNX file in the shared folder."""
    return shared_dir() / "models" / "face-reidentification-retail-0095.onnx"


def student(wanted: Network) -> torch.nn.Module:
    """A fresh student (random, or holding the teacher's weights)."""
    if wanted.route == "teacher":
        model = from_teacher.TeacherStudent(teacher_path(), wanted.downsample)
    elif wanted.route == "wave":
        model = network.WaveResNet(wanted.size, from_teacher.EMBEDDING, wanted.downsample, wanted.gated_bands)
    else:
        raise ValueError(f"network.route must be teacher or wave, got {wanted.route!r}")
    if wanted.start:
        take_weights(model, Path(wanted.start))
    return model


def take_weights(model: torch.nn.Module, path: Path) -> None:
    """Fills `model` with the weights of an exported student; raises ValueError when they are not of this network.

    Export equalises channels and folds nothing else on route `teacher` with strides, so the file holds the whole state.
    """
    exported = {t.name.removeprefix("model."): numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    state = model.state_dict()
    wrong = [name for name, value in state.items() if getattr(exported.get(name), "shape", None) != tuple(value.shape)]
    if wrong:
        raise ValueError(f"{path}: not an export of this network, {len(wrong)} tensors differ, first {wrong[0]}")
    model.load_state_dict({name: torch.from_numpy(exported[name].copy()) for name in state})


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
