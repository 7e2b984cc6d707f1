"""Open-set search on LFW: who of the enrolled people is this, or nobody? Rates at a false-positive identification rate.

    python -m evaluate.open_set --net student=student:FILE --net sface=sface:FILE --out student/tables

Enrolled: people with at least three pictures, as the unit mean of all but their last one (the probe). Strangers: people
with a single picture. Probes pass the held-out chain; with `--frames 5` five draws of it are fused by their mean, which
shares one photograph and therefore understates what five different frames of a walk bring.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from distill.crops import shared_dir

from . import accuracy, lfw, networks, probes
from .verification import write


def split(names: list[str], enrolled_max: int, strangers_max: int):
    """(person -> gallery pictures, probe picture per person, stranger pictures), in the order of the names."""
    pictures = defaultdict(list)
    for name in sorted(names):
        pictures[name.rsplit("_", 1)[0]].append(name)
    people = [p for p, own in pictures.items() if len(own) >= 3][:enrolled_max]
    strangers = [own[0] for own in pictures.values() if len(own) == 1][:strangers_max]
    # Ten gallery pictures are plenty; a few people have hundreds.
    return {p: pictures[p][:-1][:10] for p in people}, {p: pictures[p][-1] for p in people}, strangers


def identification(gallery, mated, owner, unmated, fpir: float):
    """Per mated probe: found (right person, above the threshold that lets `fpir` of the strangers through), and rank 1."""
    strangers = np.sort((unmated @ gallery.T).max(1))[::-1]
    threshold = strangers[min(int(fpir * len(strangers)), len(strangers) - 1)]
    scores = mated @ gallery.T
    first = scores.argmax(1) == owner
    return (first & (scores.max(1) > threshold)).astype(float), first.astype(float)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows at unit length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", action="append", required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 24, 20, 16, 12, 8])
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--enrolled", type=int, default=400)
    parser.add_argument("--strangers", type=int, default=1000)
    parser.add_argument("--cache", type=Path, default=Path("runs/embeddings"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    images, _ = lfw.load(shared_dir() / "data" / "test-lfw.tar")
    enrolled, probe_of, strangers = split(list(images), arguments.enrolled, arguments.strangers)
    people = list(enrolled)
    rows = []
    for embedder in [networks.parse(text) for text in arguments.net]:
        sharp = [name for person in people for name in enrolled[person]]
        vectors = dict(zip(sharp, networks.cached(
            embedder, "open-gallery", sharp, lambda i: images[sharp[i]], arguments.cache)))
        gallery = unit(np.stack([np.mean([vectors[n] for n in enrolled[p]], axis=0) for p in people]))
        for side in arguments.sides:
            names = [probe_of[p] for p in people] + strangers
            total = np.zeros((len(names), gallery.shape[1]), np.float32)
            for take in range(arguments.frames):
                make = lambda i: probes.probe(images[names[i]], names[i], side, "held-out", take)  # noqa: E731
                total += networks.cached(embedder, f"open-{side}-{take}", names, make, arguments.cache)
            fused = unit(total)
            owner, mated, unmated = np.arange(len(people)), fused[: len(people)], fused[len(people) :]
            for fpir in (0.01, 0.001):
                found, first = identification(gallery, mated, owner, unmated, fpir)
                low, high = accuracy.bootstrap(found, owner)
                rows.append({
                    "network": embedder.name, "side_px": side, "frames": arguments.frames, "fpir": fpir,
                    "enrolled": len(people), "strangers": len(strangers), "tpir": round(100 * found.mean(), 2),
                    "low95": round(100 * low, 2), "high95": round(100 * high, 2), "rank1": round(100 * first.mean(), 2),
                })
                print(*rows[-1].values(), flush=True)
    write(arguments.out / f"open-set-{arguments.frames}.csv", rows)


if __name__ == "__main__":
    main()
