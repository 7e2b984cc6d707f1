"""Shapes and sizes of the networks, wavelet identities, export parity."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill import build, config, equalise, export, haar, network


def teacher_or_skip():
    if not build.teacher_path().exists():
        pytest.skip(f"SKIPPED: no teacher at {build.teacher_path()} (set SEKISHO_SHARED)")


def test_haar_keeps_energy_and_ll_is_twice_the_average():
    x = torch.randn(2, 3, 16, 16)
    bands = haar.dwt(x)
    assert torch.allclose(bands.square().sum(), x.square().sum(), rtol=1e-5)
    assert torch.allclose(bands[:, ::4], 2.0 * haar.low_pass(x), atol=1e-6)
    with pytest.raises(ValueError, match="even"):
        haar.dwt(x[:, :, :7])


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("groups", [1, 6])
def test_folded_low_pass_equals_convolution_then_average(late, groups):
    weight, bias = torch.randn(6, 6 // groups, 3, 3), torch.randn(6)
    x = torch.randn(1, 6, 12, 12)
    pads = (0, 1, 0, 1) if late else (1, 0, 1, 0)
    slow = F.conv2d(F.pad(F.pad(x, (1, 1, 1, 1)), pads), weight, bias, groups=groups)
    slow = slow[:, :, :12, :12]
    found = haar.LowPassConv(weight, bias, groups, late)(x)
    assert torch.allclose(found, haar.low_pass(slow), atol=1e-4)


@pytest.mark.parametrize("size,low,high", [("S", 0.6, 1.0), ("M", 0.9, 1.3), ("L", 1.6, 2.4)])
@pytest.mark.parametrize("downsample", ["ll", "stride"])
def test_wave_shapes_and_parameters(size, low, high, downsample):
    model = network.WaveResNet(size, 256, downsample).eval()
    z, q, maps = model(torch.rand(2, 3, 112, 112) * 255)
    assert z.shape == (2, 256) and q.shape == (2,)
    assert [m.shape[2] for m in maps] == [28, 14, 7]
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert low < millions < high


def test_closed_gates_change_nothing():
    gated = network.WaveResNet("S", 64, "ll", gated=True).eval()
    plain = network.WaveResNet("S", 64, "ll").eval()
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if not k.endswith("gain")})
    x = torch.rand(1, 3, 112, 112) * 255
    assert torch.allclose(gated(x)[0], plain(x)[0], atol=1e-4)


@pytest.mark.parametrize("wanted", [
    config.Network("wave", "S", "ll"), config.Network("wave", "S", "ll", True),
    config.Network("teacher", downsample="stride"), config.Network("teacher", downsample="ll"),
])
def test_onnx_answers_as_pytorch_does(tmp_path, wanted):
    if wanted.route == "teacher":
        teacher_or_skip()
    torch.manual_seed(3)
    model = build.student(wanted).eval()
    original = copy.deepcopy(model)
    export.write(model, tmp_path / "x.onnx")
    assert export.parity(original, tmp_path / "x.onnx") <= export.PARITY_MAX


def test_rebuilt_teacher_is_the_teacher():
    teacher_or_skip()
    import onnxruntime as ort

    model = build.student(config.Network()).eval()
    x = torch.rand(2, 3, 112, 112) * 255
    with torch.no_grad():
        ours = model(x)[0].numpy()
        face = ((model.teacher_view(x) - model.shift) / model.scale).flip(1).numpy()
    theirs = ort.InferenceSession(str(build.teacher_path())).run(None, {"input": face})[0]
    assert np.abs(ours - theirs).max() <= 1e-4


def test_equalising_changes_no_answer():
    teacher_or_skip()
    model = build.student(config.Network()).eval()
    before = copy.deepcopy(model)
    x = torch.rand(3, 3, 14, 14).repeat_interleave(8, 2).repeat_interleave(8, 3) * 255
    equalise.equalise(model, x)
    with torch.no_grad():
        a, b = before(x), model(x)
    assert (F.normalize(a[0]) - F.normalize(b[0])).abs().max() < 1e-4
    assert (a[1] - b[1]).abs().max() < 1e-4


def test_training_goes_on_from_an_exported_student():
    teacher_or_skip()
    from pathlib import Path

    import onnxruntime as ort

    path = Path(build.__file__).parents[1] / "student" / "sekisho-student-m.onnx"
    model = build.student(config.Network(route="teacher", start=str(path))).eval()
    x = F.interpolate(torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(2)) * 255.0, size=(112, 112))
    with torch.no_grad():
        found = F.normalize(model(x)[0]).numpy()
    wanted = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(["embedding"], {"input": x.numpy()})[0]
    assert np.abs(found - wanted / np.linalg.norm(wanted, axis=1, keepdims=True)).max() < 1e-4
    with pytest.raises(ValueError, match="not an export of this network"):
        build.student(config.Network(route="wave", start=str(path)))
