"""Networks under test, named on the command line as `name=kind:file`; kind is `intel`, `sface` or `student`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from distill.teachers import Embedder

KINDS = ("intel", "sface", "student")


def parse(text: str, threads: int = 1) -> Embedder:
    """`name=kind:file` to an embedder; raises ValueError with what is wrong."""
    name, equals, rest = text.partition("=")
    kind, colon, path = rest.partition(":")
    if not equals or not colon or kind not in KINDS:
        raise ValueError(f"{text!r}: expected name=kind:file with kind one of {', '.join(KINDS)}")
    if not Path(path).is_file():
        raise ValueError(f"{text!r}: no such file {path}")
    return Embedder(name, Path(path), "intel" if kind == "intel" else "rgb", threads)


def cached(embedder: Embedder, label: str, names: list[str], make, cache: Path) -> np.ndarray:
    """Embeddings [N,D] of `make(i)` for every name, remembered by network bytes, label and names."""
    key = hashlib.sha256()
    key.update(embedder.path.read_bytes())
    key.update(f"{embedder.kind}|{label}|".encode())
    key.update("|".join(names).encode())
    path = cache / f"{embedder.name}-{label}-{key.hexdigest()[:16]}.npy"
    if path.exists():
        return np.load(path)
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(names), 64):
        chips = np.stack([make(i) for i in range(start, min(start + 64, len(names)))])
        parts.append(embedder.embed(chips))
    out = np.concatenate(parts)
    np.save(path, out)
    return out
