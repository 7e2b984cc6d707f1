"""From genuine and impostor cosines to an evidence line, an impostor tail and the verdict whether they suffice."""

import dataclasses

import numpy as np

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# With 30 comparisons beyond a threshold its rate is known within about a third; with fewer the tail is fitted.
EXCEEDANCES_MIN = 30
GENUINE_MIN, IDENTITIES_MIN = 100, 50
# A size that finds fewer than one in twenty at the rate a gallery of a hundred needs is of no use.
TPIR_MIN, TPIR_AT_FMR = 0.05, 1e-4


@dataclasses.dataclass
class Counted:
    count: int
    mean: float
    std: float


@dataclasses.dataclass
class Point:
    fmr: float
    cosine: float
    extrapolated: bool


@dataclasses.dataclass
class Row:
    genuine: Counted
    impostor: Counted
    identities: int
    slope: float
    offset: float
    tail: list
    genuine_scores: np.ndarray
    decidable: bool = True
    reason: str = ""

    def threshold(self, fmr):
        """The cosine at a false match rate: log-linear between the points, the last two continued."""
        rates = [np.log10(p.fmr) for p in self.tail]
        at = next((i for i in range(1, len(rates)) if rates[i] <= np.log10(fmr)), len(rates) - 1)
        a, b = self.tail[at - 1], self.tail[at]
        return a.cosine + (np.log10(fmr) - rates[at - 1]) * (b.cosine - a.cosine) / (rates[at] - rates[at - 1])

    def share_above(self, fmr):
        return float(np.mean(self.genuine_scores >= self.threshold(fmr)))

    def tpir(self, fpir, people):
        """Share of genuine tracks found when a search among `people` has the false-positive rate `fpir`."""
        return self.share_above(-np.expm1(np.log1p(-fpir) / people))


def measured(genuine, impostor, identities):
    slope, offset = evidence_line(genuine, impostor)
    return Row(
        Counted(len(genuine), float(genuine.mean()), float(genuine.std())),
        Counted(len(impostor), float(impostor.mean()), float(impostor.std())),
        identities,
        slope,
        offset,
        impostor_tail(impostor),
        genuine,
    )


def evidence_line(genuine, impostor):
    """Logistic regression on the cosine with both classes weighted alike, so the logit is the log likelihood ratio.

    Newton's method on centred, scaled cosines, with a weak pull of the slope to the Gaussian estimate, which keeps it
    finite when the classes do not overlap.
    """
    x = np.concatenate([genuine, impostor]).astype(np.float64)
    y = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    weight = np.concatenate([np.full(len(genuine), 0.5 / len(genuine)), np.full(len(impostor), 0.5 / len(impostor))])
    middle = (genuine.mean() + impostor.mean()) / 2
    scale = np.sqrt((genuine.var() + impostor.var()) / 2)
    x = (x - middle) / scale
    prior = (genuine.mean() - impostor.mean()) / scale
    strength = 1e-3
    slope, offset = max(prior, 0.1), 0.0
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(slope * x + offset, -50, 50)))
        error, curve = weight * (p - y), weight * p * (1 - p)
        gradient = np.array([error @ x + strength * (slope - prior), error.sum()])
        hessian = np.array([[curve @ (x * x) + strength, curve @ x], [curve @ x, curve.sum() + 1e-9]])
        step = np.clip(np.linalg.solve(hessian, gradient), -2, 2)
        slope, offset = slope - step[0], offset - step[1]
        if np.abs(step).max() < 1e-9:
            break
    return float(slope / scale), float(offset - slope * middle / scale)


def impostor_tail(impostor):
    """Cosines at RATES: counted where enough comparisons lie beyond, else from a generalised Pareto tail.

    The tail is fitted to the largest 0.5 % by probability-weighted moments (Hosking and Wallis, Technometrics 29(3),
    1987); its shape is kept within -0.25..0.1: a cosine is bounded, but a short tail must not be taken from chance.
    """
    ordered = np.sort(impostor.astype(np.float64))[::-1]
    count = len(ordered)
    beyond = max(100, count // 200)
    edge = ordered[beyond]
    excess = np.sort(ordered[:beyond] - edge)
    mean = excess.mean()
    # First probability-weighted moment: expectation of x (1 - F(x)).
    moment = float(np.mean(excess * (1 - (np.arange(beyond) + 0.65) / beyond)))
    shape = float(np.clip(2 - mean / (mean - 2 * moment), -0.25, 0.1))
    scale = mean * (1 - shape)
    points = []
    for rate in RATES:
        if count * rate >= EXCEEDANCES_MIN:
            points.append(Point(rate, float(np.quantile(ordered, 1 - rate)), False))
            continue
        ratio = rate * count / beyond
        rise = -np.log(ratio) * scale if abs(shape) < 1e-6 else scale / shape * (ratio**-shape - 1)
        points.append(Point(rate, float(edge + rise), True))
    return points


def rising_rows(grid, weight):
    """Each row made non-decreasing, closest in weighted squares (pool adjacent violators)."""
    out = np.empty_like(grid)
    for r, (values, weights) in enumerate(zip(grid, weight)):
        blocks = []
        for value, w in zip(values, weights):
            blocks.append([value, w, 1])
            while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
                b, a = blocks.pop(), blocks.pop()
                blocks.append([(a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1]), a[1] + b[1], a[2] + b[2]])
        out[r] = np.concatenate([np.full(k, v) for v, _, k in blocks])
    return out


def rising(grid, weight):
    """Non-decreasing along both axes (Dykstra's alternating projections)."""
    current, first, second = grid.copy(), np.zeros_like(grid), np.zeros_like(grid)
    for _ in range(300):
        step = rising_rows(current + first, weight)
        first = current + first - step
        current = rising_rows((step + second).T, weight.T).T
        second = step + second - current
    # Projections only approach the set; the last ripple is taken out, upwards.
    return np.maximum.accumulate(np.maximum.accumulate(current, 0), 1)


def averaged(grid):
    """A light average with the neighbours in size and frame count, 1-2-1 each way."""
    for axis in (0, 1):
        padded = np.pad(grid, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="reflect", reflect_type="odd")
        ends = [np.take(padded, range(i, i + grid.shape[axis]), axis=axis) for i in range(3)]
        grid = 0.25 * ends[0] + 0.5 * ends[1] + 0.25 * ends[2]
    return grid


def smooth(rows, bins, frames):
    """Replaces slopes, crossing points and tails by smoothed ones and says which rows are decidable."""
    def grid(value):
        return np.array([[value(rows[b, n]) for n in frames] for b in range(bins)], dtype=np.float64)

    weight = np.sqrt(grid(lambda row: row.genuine.count))
    slope = rising(grid(lambda row: row.slope), weight)
    crossing = rising(grid(lambda row: -row.offset / row.slope), weight)
    tails = [averaged(grid(lambda row, i=i: row.tail[i].cosine)) for i in range(len(RATES))]
    for b in range(bins):
        for at, n in enumerate(frames):
            row = rows[b, n]
            row.slope, row.offset = float(slope[b, at]), float(-slope[b, at] * crossing[b, at])
            for point, tail in zip(row.tail, tails):
                point.cosine = float(tail[b, at])
            assert all(p.cosine < q.cosine for p, q in zip(row.tail, row.tail[1:]))
    decide(rows, bins, frames)


def decide(rows, bins, frames):
    """A row is decidable when its sample suffices and its separation does, here and at every larger size.

    The share of genuine tracks found is made monotone in the frame count first, so that a lucky small sample of long
    tracks does not make one count decidable between two that are not.
    """
    count = np.array([[rows[b, n].genuine.count for n in frames] for b in range(bins)], dtype=np.float64)
    share = np.array([[rows[b, n].share_above(TPIR_AT_FMR) for n in frames] for b in range(bins)])
    share = rising_rows(share, count)
    for at, n in enumerate(frames):
        failing = ""
        for b in reversed(range(bins)):
            row = rows[b, n]
            if row.genuine.count < GENUINE_MIN or row.identities < IDENTITIES_MIN:
                failing = f"only {row.genuine.count} genuine scores of {row.identities} people were measured"
            elif share[b, at] < TPIR_MIN:
                failing = f"about {100 * share[b, at]:.1f} % of genuine tracks pass at a false match rate of {TPIR_AT_FMR:g}"
            row.decidable, row.reason = not failing, failing
