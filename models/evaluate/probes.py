"""Low-resolution probes: the same picture, size, degradation and seed give the same pixels for every network."""

from __future__ import annotations

import zlib

import numpy as np

from distill import degrade

SIDES_PX = (112, 56, 32, 24, 20, 16, 12, 10, 8, 7)
DEGRADATIONS = ("area", "bicubic", "held-out")


def probe(image: np.ndarray, name: str, side_px: int, degradation: str, take: int = 0) -> np.ndarray:
    """One probe [112,112,3]; `take` numbers independent draws of the random chain for one picture."""
    if degradation == "area":
        return degrade.plain(image, side_px, "area")
    if degradation == "bicubic":
        return degrade.plain(image, side_px, "cubic-antialias")
    if degradation == "held-out":
        rng = np.random.default_rng((zlib.crc32(name.encode()), side_px, take, 20))
        return degrade.degrade(image, side_px, degrade.HELD_OUT, rng)
    raise ValueError(f"degradation must be one of {', '.join(DEGRADATIONS)}, got {degradation!r}")
