"""Verification accuracy with thresholds from the other folds, rates at a false-accept rate, bootstrap by person."""

from __future__ import annotations

import numpy as np


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Threshold with the highest accuracy on these pairs (same when score >= threshold)."""
    order = np.argsort(scores)[::-1]
    accepted_right = np.cumsum(same[order])
    refused_right = (~same).sum() - np.cumsum(~same[order])
    best = int(np.argmax(accepted_right + refused_right))
    low = scores[order[best + 1]] if best + 1 < len(order) else scores[order[best]]
    return float((scores[order[best]] + low) / 2.0)


def fold_correct(scores: np.ndarray, same: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Whether each pair is judged right by the threshold that is best on all other folds."""
    right = np.zeros(len(scores), bool)
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = best_threshold(scores[~inside], same[~inside])
        right[inside] = (scores[inside] >= threshold) == same[inside]
    return right


def tar_at_far(scores: np.ndarray, same: np.ndarray, far: float) -> float:
    """Share of same-person pairs above the threshold that lets `far` of the others through."""
    others = np.sort(scores[~same])[::-1]
    threshold = others[min(int(far * len(others)), len(others) - 1)]
    return float((scores[same] > threshold).mean())


def bootstrap(values: np.ndarray, persons: np.ndarray, draws: int = 2000, seed: int = 3) -> tuple[float, float]:
    """95 % interval of the mean of `values` when persons (clusters of rows) are drawn with replacement."""
    _, cluster = np.unique(persons, return_inverse=True)
    clusters = int(cluster.max()) + 1
    sums, counts = np.bincount(cluster, values, clusters), np.bincount(cluster, minlength=clusters)
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for i in range(draws):
        weight = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)
        means[i] = (weight * sums).sum() / (weight * counts).sum()
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
