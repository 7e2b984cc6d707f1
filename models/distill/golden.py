"""Stores what a student answers: to the daemon's self-test picture, and to a few pictures made of arithmetic.

    python -m distill.golden --fp32 student/x.onnx --int8 student/x-int8.onnx --out student

Writes `x.toml` beside each network (the form `models/manifest.toml` names as `golden`) and `student/SHA256SUMS`.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime as ort


def test_picture(side_px: int = 112) -> np.ndarray:
    """The daemon's self-test picture [1,3,side,side]: a gradient with blocks and grain, the same everywhere."""
    values = np.empty((1, 3, side_px, side_px), np.float32)
    state = 0x5EED
    for channel in range(3):
        for y in range(side_px):
            for x in range(side_px):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                grain, block = state >> 59, ((x // 16 + y // 16) % 3) * 40
                slope = x * 64 // side_px + y * 64 // side_px + channel * 8
                values[0, channel, y, x] = min(grain + block + slope, 255)
    return values


def answer(path: Path) -> np.ndarray:
    """The embedding of the self-test picture, as the network gives it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"input": test_picture()})[0][0]


def write(path: Path, out: Path) -> None:
    """One golden file."""
    values = answer(path)
    lines = [f"# What {path.stem} answers to the self-test's picture of [1, 3, 112, 112] (ONNX Runtime {ort.__version__}, CPU)."]
    lines += ['output = "embedding"', "values = ["]
    for start in range(0, len(values), 8):
        lines.append("  " + ", ".join(f"{v:.6f}" for v in values[start : start + 8]) + ",")
    out.write_text("\n".join([*lines, "]", ""]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fp32", type=Path, required=True)
    parser.add_argument("--int8", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sums = []
    for path in (arguments.fp32, arguments.int8):
        write(path, arguments.out / f"{path.stem}.toml")
        sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    (arguments.out / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main()
