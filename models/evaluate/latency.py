"""Latency of every network in one run, interleaved, so that a busy machine slows all of them alike.

    python -m evaluate.latency --net student=student:FILE --net sface=sface:FILE --out student/tables

One crop a call, one thread. On a shared machine read the minimum and the ratio, not the mean.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from . import networks
from .verification import write


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", action="append", required=True)
    parser.add_argument("--runs", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    crop = rng.integers(0, 256, (1, 112, 112, 3), np.uint8)
    embedders = [networks.parse(text, arguments.threads) for text in arguments.net]
    tensors = [e.prepare(crop) for e in embedders]
    times: list[list[float]] = [[] for _ in embedders]
    for _ in range(arguments.runs):
        for i, embedder in enumerate(embedders):
            start = time.perf_counter()
            embedder.session.run([embedder.output_name], {embedder.input_name: tensors[i]})
            times[i].append(1000.0 * (time.perf_counter() - start))
    rows = []
    for embedder, taken in zip(embedders, times):
        low, median, high = np.quantile(taken, (0.0, 0.5, 0.95))
        rows.append({
            "network": embedder.name, "file_bytes": embedder.path.stat().st_size, "threads": arguments.threads,
            "runs": arguments.runs, "min_ms": round(low, 2), "p50_ms": round(median, 2), "p95_ms": round(high, 2),
        })
        print(*rows[-1].values())
    write(arguments.out / "latency.csv", rows)


if __name__ == "__main__":
    main()
