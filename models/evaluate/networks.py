"""Networks under test, named on the command line as `name=kind:file`; kind is `intel`, `sface` or `student`."""

from __future__ import annotations

import hashlib
import os
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
    """Embeddings [N,D] of `make(i)` for every name, remembered by network bytes, label and name.

    What is there already is not computed again, so more folds, sizes or networks cost only what they add; an
    interrupted run keeps all but its last few hundred pictures.
    """
    digest = hashlib.sha256(embedder.path.read_bytes() + embedder.kind.encode()).hexdigest()[:12]
    path = cache / f"{embedder.name}-{digest}-{label}.npz"
    known: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path) as stored:
            known = dict(zip(stored["names"].tolist(), stored["rows"]))
    missing = [i for i, name in enumerate(names) if name not in known]
    cache.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), 64):
        part = missing[start : start + 64]
        known.update(zip((names[i] for i in part), embedder.embed(np.stack([make(i) for i in part]))))
        if start + 64 >= len(missing) or start % 512 == 448:
            _store(path, known)
    return np.stack([known[name] for name in names])


def _store(path: Path, known: dict[str, np.ndarray]) -> None:
    part = path.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(part, names=np.array(list(known)), rows=np.stack(list(known.values())))
    os.replace(part, path)
