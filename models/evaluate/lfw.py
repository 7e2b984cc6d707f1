"""LFW view 2: 6000 pairs in ten folds over the aligned crops of `test-lfw.tar`. Test only; never trained or tuned on."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.crops import read_tar


@dataclass(frozen=True)
class Pair:
    """Two picture names, whether they show one person, and the fold 0..9."""

    first: str
    second: str
    same: bool
    fold: int

    @property
    def person(self) -> str:
        """Who the first picture shows; pairs of one person are resampled together."""
        return self.first.rsplit("_", 1)[0]


def _name(person: str, number: str) -> str:
    return f"{person}_{int(number):04d}"


def read_pairs(text: str) -> list[Pair]:
    """The standard pairs.txt: `folds n`, then per fold n lines of one person and n lines of two."""
    lines = text.splitlines()
    folds, count = (int(v) for v in lines[0].split())
    pairs = []
    for number, line in enumerate(lines[1 : 1 + folds * count * 2]):
        parts = line.split()
        fold = number // (2 * count)
        if len(parts) == 3:
            pairs.append(Pair(_name(parts[0], parts[1]), _name(parts[0], parts[2]), True, fold))
        elif len(parts) == 4:
            pairs.append(Pair(_name(parts[0], parts[1]), _name(parts[2], parts[3]), False, fold))
        else:
            raise ValueError(f"pairs.txt line {number + 2}: {len(parts)} fields, expected 3 or 4")
    return pairs


def load(tar: Path) -> tuple[dict[str, np.ndarray], list[Pair]]:
    """Pictures by name (`Person_0001`) and the pairs whose pictures are there."""
    images = {Path(name).stem: image for name, image in read_tar(tar)}
    with tarfile.open(tar) as archive:
        handle = archive.extractfile("pairs.txt")
        if handle is None:
            raise ValueError(f"{tar.name}: pairs.txt is missing")
        pairs = read_pairs(handle.read().decode())
    there = [p for p in pairs if p.first in images and p.second in images]
    if len(there) < len(pairs):
        print(f"{len(pairs) - len(there)} of {len(pairs)} pairs left out: no aligned picture")
    return images, there
