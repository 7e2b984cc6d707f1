"""Static int8 of an exported student: QDQ, per channel, calibrated on faces of all probe sizes.

    python -m distill.quantise --model student/x.onnx --out student/x-int8.onnx

The gate is the mean cosine between int8 and fp32 over faces of every size, at least 0.99; a worse file is not kept.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from . import degrade
from .crops import read_tar, shared_dir
from .teachers import Embedder

SIDES_PX = (112, 56, 32, 24, 16, 12, 8)
COSINE_MIN = 0.99


def faces(count: int, skip: int = 0) -> list[tuple[int, np.ndarray]]:
    """(side, picture) of calibration people, sizes in turn; `skip` leaves out as many pictures at the start."""
    out = []
    for number, (_, image) in enumerate(read_tar(shared_dir() / "data" / "calibration-celeba.tar")):
        if number < skip:
            continue
        if len(out) >= count:
            break
        side = SIDES_PX[number % len(SIDES_PX)]
        if side == 112:
            out.append((side, image))
        else:
            chain = degrade.clean_variant(degrade.TRAIN) if number % 2 else degrade.TRAIN
            out.append((side, degrade.degrade(image, side, chain, np.random.default_rng((number, 31)))))
    return out


class Reader(CalibrationDataReader):
    """Feeds one face at a time."""

    def __init__(self, pictures: list[np.ndarray]):
        self.pictures = iter(pictures)

    def get_next(self):
        picture = next(self.pictures, None)
        if picture is None:
            return None
        return {"input": np.ascontiguousarray(picture.transpose(2, 0, 1)[None]).astype(np.float32)}


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Input scaling, stem, everything from the global depthwise layer on, and the quality head: first and last layers
    carry most of the damage and little of the cost. Channel gates stay float too: they act on one pixel a channel."""
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    kernel = {n.name: shapes.get(n.input[1], ()) for n in model.graph.node if n.op_type == "Conv"}
    pooled = set()
    for node in model.graph.node:
        if node.op_type == "GlobalAveragePool" or any(i in pooled for i in node.input):
            # The gate ends where it is multiplied onto the map.
            if node.op_type != "Mul":
                pooled.update(node.output)
    names = []
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    for node in model.graph.node:
        if any(o in pooled for o in node.output) or node.op_type in ("Gemm", "Resize", "Slice", "ReduceMean"):
            names.append(node.name)
        elif node.op_type == "Conv" and (node.name == convs[0].name or max(kernel[node.name][2:] or (0,)) >= 7):
            names.append(node.name)
    names.append(convs[-1].name)
    first = next(i for i, n in enumerate(model.graph.node) if n.op_type == "Conv")
    names += [n.name for n in list(model.graph.node)[:first]]
    return sorted(set(names))


def quantise(source: Path, out: Path, count: int, activation: str) -> None:
    """Writes the int8 file from `count` calibration faces."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(str(prepared))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"node_{number}"
        onnx.save(model, str(prepared))
        quantize_static(
            str(prepared), str(out), Reader([image for _, image in faces(count)]), quant_format=QuantFormat.QDQ,
            per_channel=True, activation_type=QuantType.QInt8 if activation == "s8" else QuantType.QUInt8,
            weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=kept_in_float(model), extra_options={"CalibMovingAverage": True},
        )


def agreement(source: Path, out: Path, count: int = 280, skip: int = 1200) -> dict[int, float]:
    """Mean cosine int8 to fp32 by probe size, on faces that were not calibrated on."""
    wide, narrow = Embedder("fp32", source, "student"), Embedder("int8", out, "student")
    chosen = faces(count, skip)
    chips = np.stack([image for _, image in chosen])
    cosine = (wide.embed(chips) * narrow.embed(chips)).sum(1)
    sides = np.array([side for side, _ in chosen])
    return {side: float(cosine[sides == side].mean()) for side in SIDES_PX}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=420)
    parser.add_argument("--activation", choices=("s8", "u8"), default="s8")
    arguments = parser.parse_args()
    quantise(arguments.model, arguments.out, arguments.faces, arguments.activation)
    table = agreement(arguments.model, arguments.out)
    mean = sum(table.values()) / len(table)
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, sha256 {digest}")
    print("cosine int8 to fp32 by side_px:", {side: round(value, 4) for side, value in table.items()}, f"mean {mean:.4f}")
    if mean < COSINE_MIN:
        arguments.out.unlink()
        raise SystemExit(f"mean cosine {mean:.4f} is below {COSINE_MIN}; file removed")


if __name__ == "__main__":
    main()
