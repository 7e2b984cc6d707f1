"""Frozen teachers, run by ONNX Runtime on clean crops: the embedding of a crop and its mirror image, summed to one.

Each teacher states how an aligned 112x112 RGB crop becomes its input, so every network in this project is asked the
same way everywhere (training targets, evaluation, latency).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort


def session(path: Path, threads: int = 1, optimise: bool = True) -> ort.InferenceSession:
    """CPU session of a model file; weights wrongly listed as graph inputs are stripped, so any batch size works."""
    model = onnx.load(str(path))
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning workers would take the cores from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def intel_input(crops_rgb: np.ndarray) -> np.ndarray:
    """[N,112,112,3] RGB uint8 to [N,3,128,128] BGR 0..255: the centre 96x112 (x 8..104) stretched to 128x128."""
    out = np.empty((len(crops_rgb), 3, 128, 128), np.float32)
    for i, crop in enumerate(crops_rgb):
        face = cv2.resize(crop[:, 8:104], (128, 128), interpolation=cv2.INTER_LINEAR)
        out[i] = face[:, :, ::-1].transpose(2, 0, 1)
    return out


def rgb_input(crops_rgb: np.ndarray) -> np.ndarray:
    """[N,112,112,3] RGB uint8 to [N,3,112,112] RGB 0..255: SFace and the student."""
    return np.ascontiguousarray(crops_rgb.transpose(0, 3, 1, 2)).astype(np.float32)


class Embedder:
    """One network behind one call: `embed(crops [N,112,112,3] RGB uint8) -> [N,D]` of unit length."""

    def __init__(self, name: str, path: Path, kind: str, threads: int = 1):
        self.name, self.path, self.kind = name, path, kind
        self.session = session(path, threads)
        self.input_name = self.session.get_inputs()[0].name
        self.output_name = self.session.get_outputs()[0].name
        self.prepare = intel_input if kind == "intel" else rgb_input

    def embed(self, crops_rgb: np.ndarray, batch: int = 16) -> np.ndarray:
        """Unit embeddings; raises ValueError when the network gives a zero or non-finite vector."""
        parts = []
        for start in range(0, len(crops_rgb), batch):
            tensor = self.prepare(np.asarray(crops_rgb[start : start + batch]))
            parts.append(self.session.run([self.output_name], {self.input_name: tensor})[0])
        raw = np.concatenate(parts).astype(np.float32)
        norm = np.linalg.norm(raw, axis=1, keepdims=True)
        if not np.isfinite(raw).all() or (norm < 1e-6).any():
            raise ValueError(f"{self.name}: network gave a zero or non-finite embedding")
        return raw / norm

    def embed_with_mirror(self, crops_rgb: np.ndarray) -> np.ndarray:
        """Unit sum of the embeddings of each crop and of its mirror image."""
        total = self.embed(crops_rgb) + self.embed(np.ascontiguousarray(crops_rgb[:, :, ::-1]))
        return total / np.linalg.norm(total, axis=1, keepdims=True)


def targets(embedder: Embedder, crops, cache: Path, say=print) -> np.ndarray:
    """Teacher targets [N,D] of all crops (border replicated), computed once; an interrupted run goes on where it was."""
    from .crops import fill_border

    digest = hashlib.sha256(embedder.path.read_bytes()).hexdigest()[:12]
    path = cache / f"targets-{embedder.name}-{digest}-{len(crops)}.npy"
    if path.exists():
        return np.load(path)
    part = path.with_suffix(".part.npy")
    done = np.load(part) if part.exists() else np.zeros((0, 0), np.float32)
    rng = np.random.default_rng(0)
    rows = [done] if len(done) else []
    start, step = len(done), 256
    while start < len(crops):
        stop = min(start + step, len(crops))
        chips = [fill_border(crops.images[i], crops.border(i), "replicate", rng) for i in range(start, stop)]
        rows.append(embedder.embed_with_mirror(np.stack(chips)))
        start = stop
        if (start // step) % 20 == 0:
            np.save(part, np.concatenate(rows))
            say(f"teacher {embedder.name}: {start} of {len(crops)} crops")
    out = np.concatenate(rows)
    np.save(path, out)
    part.unlink(missing_ok=True)
    return out
