"""Equalises channel ranges of a teacher-initialised student without changing what it computes, so int8 can hold it.

LeakyReLU with a fixed slope commutes with a positive factor, so channel c of a layer's output may be divided by s_c as
long as every reader of that channel multiplies by s_c. A depthwise reader carries the factor for nothing (its int8
weights have a scale per channel); a dense reader shares it out between activation and weight by the square root.
Without this the folded batch norms leave channels whose ranges differ a thousandfold in one tensor: mean cosine
int8 to fp32 was 0.68 on the unequalised network.
"""

from __future__ import annotations

import torch
from torch import nn

from .from_teacher import TeacherStudent

# Dead channels have no range; a factor beyond this would only move rounding error about.
FACTOR_MAX = 1e3


def _ranges(model: nn.Module, layers: list[nn.Module], faces: torch.Tensor) -> dict[nn.Module, torch.Tensor]:
    """Per-channel 99.9 % quantile of |output| of every layer over the calibration faces."""
    seen: dict[nn.Module, list[torch.Tensor]] = {layer: [] for layer in layers}

    def note(layer, _, output):
        flat = output.abs().transpose(0, 1).flatten(1)
        seen[layer].append(flat.kthvalue(max(int(flat.shape[1] * 0.999), 1), dim=1).values)

    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        for part in faces.split(8):
            model(part)
    for hook in hooks:
        hook.remove()
    return {layer: torch.stack(parts).amax(0) for layer, parts in seen.items()}


def _bounded(factor: torch.Tensor) -> torch.Tensor:
    factor = factor / factor.median()
    return factor.clamp(1.0 / FACTOR_MAX, FACTOR_MAX)


def _divide_output(layer: nn.Module, factor: torch.Tensor) -> None:
    layer.weight.data /= factor.view(-1, 1, 1, 1)
    if layer.bias is not None:
        layer.bias.data /= factor


def _multiply_input(layer: nn.Module, factor: torch.Tensor) -> None:
    if isinstance(layer, nn.Linear):
        layer.weight.data *= factor.view(1, -1)
    elif layer.weight.shape[1] == 1:
        layer.weight.data *= factor.view(-1, 1, 1, 1)
    else:
        layer.weight.data *= factor.view(1, -1, 1, 1)


def _column(layers: list[nn.Module]) -> torch.Tensor:
    """Largest weight that reads each channel, over dense 1x1 readers."""
    return torch.stack([layer.weight.detach().abs().amax(dim=(0, 2, 3)) for layer in layers]).amax(0)


def equalise(model: TeacherStudent, faces: torch.Tensor) -> None:
    """Rescales in place; `faces` [N,3,112,112] RGB 0..255 should cover all probe sizes."""
    model.eval()
    blocks = [block for stage in model.stages for block in stage]
    chains = [(model.stem, model.stem_depth), (model.stem_depth, blocks[0].expand), (model.head, model.global_depth)]
    for block in blocks:
        chains += [(block.expand, block.depth), (block.depth, block.project)]
    ranges = _ranges(model, [source for source, _ in chains], faces)
    for source, reader in chains:
        reach = ranges[source].clamp_min(1e-6)
        depthwise = reader.weight.shape[1] == 1
        factor = reach if depthwise else (reach / _column([reader]).clamp_min(1e-6)).sqrt()
        factor = _bounded(factor)
        _divide_output(source, factor)
        _multiply_input(reader, factor)
    _equalise_streams(model, faces)


def _equalise_streams(model: TeacherStudent, faces: torch.Tensor) -> None:
    """The residual stream of a stage is one set of channels: every writer and reader gets the same factors."""
    ranges = _ranges(model, list(model.stages), faces)
    stages = list(model.stages)
    for number, stage in enumerate(stages):
        writers = [block.project for block in stage]
        readers = [block.expand for block in list(stage)[1:]]
        readers.append(stages[number + 1][0].expand if number + 1 < len(stages) else model.head)
        reach = ranges[stage].clamp_min(1e-6)
        factor = _bounded((reach / _column(readers).clamp_min(1e-6)).sqrt())
        for writer in writers:
            _divide_output(writer, factor)
        for reader in readers + [block.squeeze for block in stage]:
            _multiply_input(reader, factor)
        if number + 1 == len(stages):
            _multiply_input(model.quality[0], factor)
