"""Proves that the edited networks answer exactly like the published ones, and at other sizes and batches too.

    check_models.py PUBLISHED EDITED      two folders that hold the .onnx files

Run by deploy/setup after each edit, with numpy and onnxruntime. One sentence and exit status 1 when they differ.
"""

import pathlib
import sys

import numpy as np
import onnxruntime

YUNET = "face_detection_yunet_2023mar.onnx"
SFACE, SFACE_INT8 = "face_recognition_sface_2021dec.onnx", "face_recognition_sface_2021dec_int8bq.onnx"
# Constant folding, which the edit of SFace allows, reorders a few float operations: 2e-6 was measured on values of 1.4.
TOLERANCE = 1e-4


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def worst(pairs):
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def check_yunet(published, edited, random):
    picture = random.uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)
    difference = worst(zip(published.run(None, {"input": picture}), edited.run(None, {"input": picture})))
    for height, width in ((192, 320), (384, 640)):
        first = edited.run(["cls_8"], {"input": picture[:, :, :height, :width]})[0]
        if first.shape[1] != (height // 8) * (width // 8):
            sys.exit(f"{YUNET}: {first.shape[1]} answers for a {width}x{height} picture; the edit is wrong")
    return difference


def check_sface(published, edited, random):
    crops = random.uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    # The published 8-bit file still asks for the weights it no longer uses.
    stale = {i.name: np.zeros(i.shape, np.float32) for i in published.get_inputs() if i.name != "data"}
    one_by_one = np.concatenate([published.run(None, {"data": crop[None]} | stale)[0] for crop in crops])
    return worst([(one_by_one, edited.run(None, {"data": crops})[0])])


def main(published, edited):
    random = np.random.default_rng(2021)
    for name, compare in ((YUNET, check_yunet), (SFACE, check_sface), (SFACE_INT8, check_sface)):
        if not (published / name).exists():
            continue
        difference = compare(session(published / name), session(edited / name), random)
        if not difference <= TOLERANCE:
            sys.exit(f"{name}: the edited network differs from the published one by {difference}; not usable")
        print(f"    {name}: answers like the published file (largest difference {difference:.1e})")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
