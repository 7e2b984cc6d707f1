"""Draws the training log: loss terms, and cosine to the teacher by probe size."""

from __future__ import annotations

import csv
from pathlib import Path


def draw(log: Path, picture: Path) -> None:
    """Reads log.csv, writes a PNG; does nothing when the log has no lines yet."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if not log.exists():
        return
    rows = list(csv.DictReader(log.open()))
    if not rows:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for axis, names in (
        (left, ("total", "feature", "relation", "attention", "wavelet", "consistency")),
        (right, ("cos_sharp", "cos_32", "cos_16", "cos_8")),
    ):
        for name in names:
            points = [(float(r["views"]) / 1000, float(r[name])) for r in rows if r.get(name)]
            if points:
                axis.plot(*zip(*points), label=name, linewidth=0.9)
        axis.set_xlabel("thousand views")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    left.set_ylabel("weighted loss terms")
    left.set_yscale("log")
    right.set_ylabel("cosine to teacher on the sharp crop")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
