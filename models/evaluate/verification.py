"""LFW view 2, high-resolution gallery against low-resolution probe (or both low), for any number of networks.

    python -m evaluate.verification --net student=student:student/x.onnx --net sface=sface:FILE --out student/tables

Writes `verification.csv` (one row a network, degradation, mode and size), `paired.csv` (the first network against each
other one, difference and interval) and `verification.png`. Embeddings are cached, so adding a size is cheap.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from distill.crops import shared_dir

from . import accuracy, lfw, networks, probes


def scores_of(embedder, images, pairs, side: int, degradation: str, mode: str, cache: Path) -> np.ndarray:
    """Cosine of every pair; the second picture is the probe, in mode `lr-lr` the first is degraded too."""
    def embed(names: list[str], px: int, how: str) -> dict[str, np.ndarray]:
        label = f"{how}-{px}" if px < 112 or how == "held-out" else "sharp-112"
        make = lambda i: probes.probe(images[names[i]], names[i], px, how)  # noqa: E731
        return dict(zip(names, networks.cached(embedder, label, names, make, cache)))

    firsts = sorted({p.first for p in pairs})
    seconds = sorted({p.second for p in pairs})
    gallery = embed(firsts, 112, "area") if mode == "hr-lr" else embed(firsts, side, degradation)
    probe = embed(seconds, side, degradation)
    return np.array([float(gallery[p.first] @ probe[p.second]) for p in pairs])


def evaluate(embedders, images, pairs, sides, degradations, modes, cache: Path):
    """Rows for verification.csv, and the per-pair verdicts for paired comparison."""
    same = np.array([p.same for p in pairs])
    folds = np.array([p.fold for p in pairs])
    persons = np.array([p.person for p in pairs])
    rows, verdicts = [], {}
    for degradation in degradations:
        for mode in modes:
            for side in sides:
                for embedder in embedders:
                    scores = scores_of(embedder, images, pairs, side, degradation, mode, cache)
                    right = accuracy.fold_correct(scores, same, folds)
                    low, high = accuracy.bootstrap(right.astype(float), persons)
                    verdicts[degradation, mode, side, embedder.name] = right
                    row = {
                        "network": embedder.name, "degradation": degradation, "mode": mode, "side_px": side,
                        "pairs": len(pairs), "folds": len(np.unique(folds)),
                        "accuracy": round(100 * right.mean(), 2),
                        "low95": round(100 * low, 2), "high95": round(100 * high, 2),
                        "tar_far_1e2": round(100 * accuracy.tar_at_far(scores, same, 1e-2), 2),
                        "tar_far_1e3": round(100 * accuracy.tar_at_far(scores, same, 1e-3), 2),
                        "genuine_mean": round(float(scores[same].mean()), 4),
                        "impostor_mean": round(float(scores[~same].mean()), 4),
                    }
                    rows.append(row)
                    print(*row.values(), flush=True)
    return rows, verdicts, persons


def compare(verdicts, persons, subject: str, others: list[str]):
    """Difference of accuracy subject - other in percentage points with the paired bootstrap interval."""
    rows = []
    for degradation, mode, side, name in verdicts:
        if name not in others:
            continue
        ours = verdicts[degradation, mode, side, subject].astype(float)
        gain = ours - verdicts[degradation, mode, side, name].astype(float)
        low, high = accuracy.bootstrap(gain, persons)
        rows.append({
            "subject": subject, "against": name, "degradation": degradation, "mode": mode, "side_px": side,
            "gain_pp": round(100 * gain.mean(), 2), "low95": round(100 * low, 2), "high95": round(100 * high, 2),
            "verdict": "better" if low > 0 else "worse" if high < 0 else "no difference shown",
        })
    return rows


def write(path: Path, rows: list[dict]) -> None:
    """One CSV file; nothing when there are no rows."""
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def plot(rows: list[dict], picture: Path) -> None:
    """Accuracy over probe size, one panel a degradation."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(r["degradation"], r["mode"]) for r in rows})
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4), squeeze=False)
    for axis, panel in zip(axes[0], panels):
        for name in dict.fromkeys(r["network"] for r in rows):
            points = sorted((r["side_px"], r["accuracy"]) for r in rows
                            if (r["degradation"], r["mode"]) == panel and r["network"] == name)
            if points:
                axis.plot(*zip(*points), marker="o", markersize=3, linewidth=1, label=name)
        axis.set_xscale("log", base=2)
        axis.set_title(f"LFW view 2, {panel[0]}, {panel[1]}", fontsize=10)
        axis.set_xlabel("side of the aligned face chip, px")
        axis.set_ylabel("accuracy, %")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", action="append", required=True, help="name=kind:file; the first one is the subject")
    parser.add_argument("--sides", type=int, nargs="+", default=list(probes.SIDES_PX))
    parser.add_argument("--degradations", nargs="+", default=list(probes.DEGRADATIONS), choices=probes.DEGRADATIONS)
    parser.add_argument("--modes", nargs="+", default=["hr-lr"], choices=["hr-lr", "lr-lr"])
    parser.add_argument("--folds", type=int, default=10, help="use only the first so many folds (a quick look)")
    parser.add_argument("--exclude", type=Path, help="overlap-listed.csv: leave out every pair with a person in it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("runs/embeddings"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="verification", help="stem of the files written")
    arguments = parser.parse_args()
    images, pairs = lfw.load(shared_dir() / "data" / "test-lfw.tar")
    pairs = [p for p in pairs if p.fold < arguments.folds]
    if arguments.exclude:
        with arguments.exclude.open() as handle:
            out = {row["test_picture"].rsplit("_", 1)[0] for row in csv.DictReader(handle)}
        pairs = [p for p in pairs if p.first.rsplit("_", 1)[0] not in out and p.second.rsplit("_", 1)[0] not in out]
        print(f"{len(out)} people left out, {len(pairs)} pairs remain")
    embedders = [networks.parse(text, arguments.threads) for text in arguments.net]
    rows, verdicts, persons = evaluate(
        embedders, images, pairs, arguments.sides, arguments.degradations, arguments.modes, arguments.cache
    )
    write(arguments.out / f"{arguments.name}.csv", rows)
    names = [e.name for e in embedders]
    paired = compare(verdicts, persons, names[0], names[1:])
    for row in paired:
        print(*row.values())
    write(arguments.out / f"{arguments.name}-paired.csv", paired)
    plot(rows, arguments.out / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
