#!/usr/bin/env python3
"""What the shipped calibration promises, checked on people it has never seen: `make quality`.

    quality.py --data test-lfw.tar --models .sekisho/models --out models/quality [--cache DIR]
               [--enrolled 200] [--strangers 500] [--gallery 100]

Searches are open: every probe track is compared with a gallery of `--gallery` people; strangers are in none. Three ways
to decide are compared on the same tracks:

- daemon: the fused track is judged at 3, 6 and 12 frames, each look at a quarter of the rate (four are configured), with
  the calibration's threshold for its size and frame count, and the runner-up margin;
- one look: one judgement at 12 frames with the whole rate, without the margin;
- fixed: SFace, one cosine for all sizes, the best of 12 single frames, as systems do that know no calibration. The
  cosine is 0.363, which OpenCV recommends for SFace.

Rates are ISO/IEC 19795-1's: FPIR over strangers' tracks, TPIR over enrolled people's tracks with the right person named
(a wrong one is a miss and is counted apart). Intervals: 95 %, by drawing people with replacement; where no error was
seen, the rule of three. Writes quality.csv, gallery.csv, tracker.csv and quality.md.
"""

import argparse
import csv
import pathlib
import sys
import tomllib

import numpy as np

import fit
import heldout
from calibrate import unit

RATES = (0.01, 0.001)
LOOKS, LOOKS_CONFIGURED = (3, 6, 12), 4
RUNNER_UP_LLR_MIN = 2.0
# The tracker's constants.
UNLIKE_BELOW, LIKE_ABOVE = 0.15, 0.45
FIXED_COSINE, FIXED_NETWORK = 0.363, "sface-2021dec"


class Table:
    """A calibration file as the program reads it."""

    def __init__(self, path):
        self.bins = tomllib.loads(pathlib.Path(path).read_text())["bin"]

    def row(self, inter_eye_px, frames):
        """The row in force, or None where nothing is decidable."""
        for found in self.bins:
            if found["inter-eye-px-min"] <= inter_eye_px < found.get("inter-eye-px-max", np.inf):
                row = [r for r in found["frames"] if r["n"] <= frames][-1]
                return row if row["decidable"] else None
        return None


def threshold(row, fmr):
    """The cosine at a false match rate, by the shipped table."""
    tail = [fit.Point(point["fmr"], point["cosine"], False) for point in row["tail"]]
    return fit.Row(None, None, 0, 0.0, 0.0, tail, None).threshold(fmr)


def galleries(people, size):
    """Disjoint galleries of `size` people, as index arrays; the remainder is left out."""
    order = np.random.default_rng(heldout.SEED).permutation(people)
    return [np.sort(order[at : at + size]) for at in range(0, people - size + 1, size)]


def best_two(templates, prototypes):
    """Best person, his cosine and the second best cosine of every template."""
    scores = templates @ prototypes.T
    order = np.argsort(scores, axis=1)
    pick = np.arange(len(scores))
    return order[:, -1], scores[pick, order[:, -1]], scores[pick, order[:, -2]]


def decide(tracks, prototypes, table, middle_px, fpir, looks, share, margin):
    """Whom each track is identified as, -1 for nobody; None when this size is not decidable."""
    named = np.full(len(tracks), -1)
    for frames in looks:
        row = table.row(middle_px, frames)
        if row is None:
            continue
        best, cosine, second = best_two(unit(tracks[:, :frames].sum(1)), prototypes)
        passed = (cosine >= threshold(row, -np.expm1(np.log1p(-fpir / share) / len(prototypes))))
        passed &= row["llr-slope"] * cosine + row["llr-offset"] > 0.0
        passed &= row["llr-slope"] * (cosine - second) >= margin
        named = np.where((named < 0) & passed, best, named)
    return named if table.row(middle_px, looks[-1]) else None


def any_of(tracks, prototypes, cosine_min):
    """Best single frame of each track against one cosine for all sizes."""
    scores = np.einsum("tfd,pd->tfp", tracks, prototypes).max(1)
    return np.where(scores.max(1) >= cosine_min, scores.argmax(1), -1)


def interval(hits, people):
    """95 % interval of a share whose trials cluster by person; rule of three when there was no hit."""
    persons, cluster = np.unique(people, return_inverse=True)
    if not hits.any():
        return 0.0, min(3.0 / len(persons), 1.0)
    sums, counts = np.bincount(cluster, hits), np.bincount(cluster)
    random = np.random.default_rng(5)
    draws = random.integers(0, len(persons), (2000, len(persons)))
    return tuple(np.quantile(sums[draws].sum(1) / counts[draws].sum(1), (0.025, 0.975)))


def search(data, number, size, judge):
    """(strangers' hits, strangers, mated found, mated wrong, mated) over all galleries; None when not decidable."""
    false_hits, strangers, found, wrong, mated = [], [], [], [], []
    for people in galleries(len(data["prototypes"]), size):
        unknown = judge(data[f"strangers-{number}"], people)
        known = judge(data[f"mated-{number}"][people], people)
        if unknown is None:
            return None
        false_hits.append(unknown >= 0)
        strangers.append(np.arange(len(unknown)))
        found.append(known == np.arange(len(people)))
        wrong.append((known >= 0) & (known != np.arange(len(people))))
        mated.append(people)
    return tuple(np.concatenate(part) for part in (false_hits, strangers, found, wrong, mated))


def line(network, number, way, target, result):
    low, high = heldout.BINS[number]
    row = {"network": network, "inter_eye_px": f"{low:g}-{high:g}", "way": way, "target_fpir_pct": target}
    if result is None:
        return row | {"verdict": "not decidable"}
    hits, strangers, found, wrong, mated = result
    (f_low, f_high), (t_low, t_high) = interval(hits, strangers), interval(found, mated)
    measured = hits.mean()
    row |= {
        "searches": len(hits), "fpir_pct": round(100 * measured, 3), "fpir_low95": round(100 * f_low, 3),
        "fpir_high95": round(100 * f_high, 3), "tpir_pct": round(100 * found.mean(), 1),
        "tpir_low95": round(100 * t_low, 1), "tpir_high95": round(100 * t_high, 1),
        "wrong_person_pct": round(100 * wrong.mean(), 2),
    }
    if target:
        covered = f_low <= target / 100 <= f_high
        within = target / 200 <= measured <= target / 50
        row["verdict"] = "within a factor 2" if within else "interval covers it" if covered else \
            "stricter than asked" if measured < target / 100 else "LOOSER THAN ASKED"
    return row


def rates(data, network, table, size):
    """Rows of quality.csv for one calibrated network."""
    for number, (low, high) in enumerate(heldout.BINS):
        middle = float(np.sqrt(low * high))
        for fpir in RATES:
            for way, looks, share, margin in (
                ("daemon", LOOKS, LOOKS_CONFIGURED, RUNNER_UP_LLR_MIN),
                ("daemon, no margin", LOOKS, LOOKS_CONFIGURED, -np.inf),
                ("one look", LOOKS[-1:], 1, -np.inf),
            ):
                def judge(tracks, people):
                    return decide(tracks, data["prototypes"][people], table, middle, fpir, looks, share, margin)

                yield line(network, number, way, 100 * fpir, search(data, number, size, judge))


def fixed(data, size):
    """Rows of the uncalibrated baseline."""
    for number in range(len(heldout.BINS)):
        def judge(tracks, people):
            return any_of(tracks, data["prototypes"][people], FIXED_COSINE)

        yield line(FIXED_NETWORK, number, "fixed", None, search(data, number, size, judge))


def matched(data, network, size):
    """Rows of gallery.csv: plain prototypes, prototypes degraded to the probe's size, and the mean of both.

    The threshold is the strangers' own quantile at FPIR 1 %, so that only the ordering is compared, on 12 fused frames.
    """
    for number, (low, high) in enumerate(heldout.BINS):
        plain, same_size = data["prototypes"], data[f"matched-{number}"]
        ways = {"plain": plain, "matched": same_size, "mean of both": unit(plain + same_size)}
        hits = {}
        for way, prototypes in ways.items():
            got = []
            for people in galleries(len(plain), size):
                unknown = best_two(unit(data[f"strangers-{number}"].sum(1)), prototypes[people])[1]
                best, cosine, _ = best_two(unit(data[f"mated-{number}"][people].sum(1)), prototypes[people])
                got.append((best == np.arange(len(people))) & (cosine > np.quantile(unknown, 0.99)))
            hits[way] = np.concatenate(got)
            gain = hits[way].astype(float) - hits["plain"]
            random = np.random.default_rng(6)
            draws = gain[random.integers(0, len(gain), (2000, len(gain)))].mean(1)
            yield {
                "network": network, "inter_eye_px": f"{low:g}-{high:g}", "gallery": way,
                "tpir_pct": round(100 * hits[way].mean(), 1), "gain_pp": round(100 * gain.mean(), 1),
                "low95": round(100 * np.quantile(draws, 0.025), 1), "high95": round(100 * np.quantile(draws, 0.975), 1),
            }


def appearance(data, network):
    """Rows of tracker.csv: what the tracker's two cosines (daemon/logic/src/tracker.rs) do at each size.

    A track's appearance is its frames blended 4 to 1 as the tracker does. Shares in %: own frames below UNLIKE_BELOW (two
    in a row split a track), other people's frames below it (so a crossing is noticed), own appearance at or above
    LIKE_ABOVE (a lost track is taken up again), other people's at or above it (two people joined: must be rare).
    """
    for number, (low, high) in enumerate(heldout.BINS):
        tracks = np.concatenate([data[f"mated-{number}"], data[f"strangers-{number}"]])
        known, own = tracks[:, 0], []
        for at in range(1, tracks.shape[1]):
            own.append(np.einsum("td,td->t", known, tracks[:, at]))
            known = unit(0.8 * known + 0.2 * tracks[:, at])
        own, others = np.stack(own, 1), known @ tracks[:, 0].T
        others = others[~np.eye(len(tracks), dtype=bool)]
        twice = (own[:, 1:] < UNLIKE_BELOW) & (own[:, :-1] < UNLIKE_BELOW)
        yield {
            "network": network, "inter_eye_px": f"{low:g}-{high:g}", "own_unlike_pct": round(100 * (own < UNLIKE_BELOW).mean(), 2),
            "tracks_split_pct": round(100 * twice.any(1).mean(), 2), "other_unlike_pct": round(100 * (others < UNLIKE_BELOW).mean(), 1),
            "own_like_pct": round(100 * (own >= LIKE_ABOVE).mean(), 1), "other_like_pct": round(100 * (others >= LIKE_ABOVE).mean(), 3),
        }


def write(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def page(rows, galleries_rows, counted):
    """The same as text for people."""
    yield f"# Recognition and false identification on held-out people\n\n{counted}\nMade by `make quality`; the head of "
    yield "`models/calibrate/quality.py` says how. FPIR and TPIR in %, 95 % intervals in brackets.\n\n"
    yield "| network | px between the eyes | way | target FPIR | FPIR | TPIR | wrong person | verdict |\n"
    yield "|---|---|---|---|---|---|---|---|\n"
    for r in rows:
        if "fpir_pct" not in r:
            target = "none" if r["target_fpir_pct"] is None else f"{r['target_fpir_pct']:g}"
            yield f"| {r['network']} | {r['inter_eye_px']} | {r['way']} | {target} | | | | not decidable |\n"
            continue
        target = "none" if r["target_fpir_pct"] is None else f"{r['target_fpir_pct']:g}"
        yield (
            f"| {r['network']} | {r['inter_eye_px']} | {r['way']} | {target} "
            f"| {r['fpir_pct']:g} [{r['fpir_low95']:g}, {r['fpir_high95']:g}] "
            f"| {r['tpir_pct']:g} [{r['tpir_low95']:g}, {r['tpir_high95']:g}] "
            f"| {r['wrong_person_pct']:g} | {r.get('verdict', '')} |\n"
        )
    yield "\n## Resolution-matched gallery\n\nTPIR at the strangers' own FPIR 1 %, 12 fused frames.\n\n"
    yield "| network | px between the eyes | gallery | TPIR | gain over plain, pp |\n|---|---|---|---|---|\n"
    for r in galleries_rows:
        yield f"| {r['network']} | {r['inter_eye_px']} | {r['gallery']} | {r['tpir_pct']:g} | {r['gain_pp']:+g} [{r['low95']:+g}, {r['high95']:+g}] |\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--manifest", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "manifest.toml")
    parser.add_argument("--networks", nargs="+", default=["sekisho-student-m", FIXED_NETWORK])
    parser.add_argument("--enrolled", type=int, default=200)
    parser.add_argument("--strangers", type=int, default=500)
    parser.add_argument("--gallery", type=int, default=100)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--cache", default=".sekisho/cache")
    options = parser.parse_args()
    if not options.data.exists():
        print(f"SKIPPED: {options.data} is not there (set SEKISHO_SHARED to the folder that holds data/); nothing was measured", file=sys.stderr)
        return
    entries = tomllib.loads(options.manifest.read_text())["models"]
    rows, gallery_rows, tracker_rows = [], [], []
    for network in options.networks:
        data = heldout.measured(options.data, options.manifest, network, options.models, options.enrolled, options.strangers, options.cache)
        table = Table(options.manifest.parent / entries[network]["embedder"]["calibration"])
        rows += rates(data, network, table, options.gallery)
        if network == FIXED_NETWORK:
            rows += fixed(data, options.gallery)
        gallery_rows += matched(data, network, options.gallery)
        tracker_rows += appearance(data, network)
    people, strangers = len(data["prototypes"]), len(data["strangers-0"])
    searched = len(galleries(people, options.gallery))
    counted = f"{strangers} strangers and {people} enrolled people of LFW, {searched} galleries of {options.gallery}, tracks of {heldout.FRAMES} frames.\n"
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "quality.csv", rows)
    write(options.out / "gallery.csv", gallery_rows)
    write(options.out / "tracker.csv", tracker_rows)
    text = "".join(page(rows, gallery_rows, counted))
    (options.out / "quality.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
