#!/usr/bin/env python3
"""What a second network's agreement removes and costs, by face size: `make second`.

    second.py --calibration calibration-celeba.tar --data test-lfw.tar --models .sekisho/models --out models/quality
              [--pairs models/calibration/pairs.toml] [--cache DIR] [--gallery 100] [--agrees LLR] [--against LLR]

Passages (passages.py) are decided as the program decides them: candidate at 3 or 6 frames, confirmed at 3 or 6 others, then
the second network is shown the best frames (four at the first asking, five at the second) and agrees, speaks against or
leaves it open; left open it is asked once more. Searches are open, in galleries of `--gallery` people: whoever is not in a
gallery is a stranger to it. A false candidate is counted once a stranger and person, in whichever galleries it came up.

All that is chosen is chosen on the calibration half and written to `--pairs`, together with the weights of both networks'
evidence:

- reach: the log likelihood ratio that 95 of 100 true candidates reach with the second network at a size (never below 0);
- weights: logistic regression of both log likelihood ratios, both classes weighted alike.

What it comes to is measured on the other half, which are other people from another collection, and written to second.csv,
combined.csv and second.md; second-chosen.csv is what the defaults were chosen by. Intervals: 95 %, by drawing people with replacement; where nothing was seen, the rule of three.
"""

import argparse
import pathlib
import sys
import tomllib

import numpy as np

import heldout
import passages
from calibrate import unit
from quality import RUNNER_UP_LLR_MIN, Table, galleries, interval, threshold, write

# (first, second) network, with how many enrolled people and strangers of the other half. SFace with the student as second
# network, ("sface-2021dec", "sekisho-student-m"): (300, 200), costs twice as much and has not been measured: without a pair
# in pairs.toml the daemon asks for what the second network's own calibration says.
ROLES = {("sekisho-student-m", "sface-2021dec-int8"): (600, 800)}
# Of the calibration half people who have three photographs; they are strangers to the galleries they are not in.
CALIBRATION_PEOPLE = {role: (500, 0) for role in ROLES}
# Mated passages that show both networks whether or not they became a candidate: for the evidence of both as one.
BOTH_SEE = 200
WAYS = ("same photograph", "second photograph")
# The configured rate, one at which there are enough false candidates to count, and one with many.
RATES = (0.01, 0.1)
LOOKS, LOOKS_CONFIGURED, CONFIRM_LOOKS_CONFIGURED = (3, 6), 4, 3
NOT_ENROLLED_LLR_MAX, WITHDRAW_LLR_MAX = -2.0, 0.0
# Of 100 true candidates this many reach what is asked for at a size.
KEPT = 0.95
# What is tried as `second-agrees-llr-min` and `second-withdraw-llr-max`.
AGREES, AGAINST = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (-3.0, -2.0, -1.0, 0.0)


def line_of(table, px, frames):
    """The row of a table, decidable or not: the second network decides nothing alone."""
    for found in table.bins:
        if found["inter-eye-px-min"] <= px < found.get("inter-eye-px-max", np.inf):
            return [row for row in found["frames"] if row["n"] <= frames][-1]
    raise ValueError(f"no row for {px} px")


def llr(row, cosine):
    return row["llr-slope"] * cosine + row["llr-offset"]


def judged(frames, prototypes, row, fpir, looks):
    """(best person, named person or -1, log likelihood ratio) of each track's frames at one look."""
    scores = unit(frames.sum(1)) @ prototypes.T
    order = np.argsort(scores, 1)
    pick = np.arange(len(scores))
    best, cosine, second = order[:, -1], scores[pick, order[:, -1]], scores[pick, order[:, -2]]
    evidence = llr(row, cosine)
    passed = cosine >= threshold(row, -np.expm1(np.log1p(-fpir / looks) / len(prototypes)))
    passed &= (evidence > 0) & (row["llr-slope"] * (cosine - second) >= RUNNER_UP_LLR_MIN)
    return best, np.where(passed, best, -1), evidence


def candidates(tracks, prototypes, table, px, fpir):
    """Whom each track becomes a candidate of, or -1; None where the size is not decidable."""
    if table.row(px, LOOKS[-1]) is None:
        return None
    named = np.full(len(tracks), -1)
    for frames in LOOKS:
        row = table.row(px, frames)
        if row is not None:
            found = judged(tracks[:, :frames], prototypes, row, fpir, LOOKS_CONFIGURED)[1]
            named = np.where(named < 0, found, named)
    return named


def confirming(tracks, accused, prototypes, table, px, fpir):
    """Per look whether disjoint frames identify the accused there, and the evidence; -inf after the candidate is withdrawn."""
    passed, evidence = np.zeros((len(tracks), 2), bool), np.full((len(tracks), 2), -np.inf)
    alive = np.ones(len(tracks), bool)
    for at, frames in enumerate(LOOKS):
        row = table.row(px, frames)
        if row is None:
            continue
        best, named, found = judged(tracks[:, :frames], prototypes, row, fpir, CONFIRM_LOOKS_CONFIGURED)
        passed[:, at] = alive & (named == accused)
        evidence[:, at] = np.where(passed[:, at], found, -np.inf)
        other = (named >= 0) & (named != accused)
        turned = other | (found <= NOT_ENROLLED_LLR_MAX) | ((named < 0) & ((best != accused) | (found <= WITHDRAW_LLR_MAX)))
        alive &= ~turned
    return passed, evidence


def asked(tracks, accused, prototypes, table, px, way):
    """The second network's evidence for the accused and the lead over everybody else, at its first and second asking."""
    places = passages.shown(way)
    evidence, lead = np.zeros((len(tracks), 2)), np.zeros((len(tracks), 2))
    pick = np.arange(len(tracks))
    for at, shown in enumerate((places[:4], places)):
        row = line_of(table, px, len(shown))
        scores = unit(tracks[:, shown].sum(1)) @ prototypes.T
        mine = scores[pick, accused]
        scores[pick, accused] = -np.inf
        evidence[:, at] = llr(row, mine)
        lead[:, at] = row["llr-slope"] * (mine - scores.max(1))
    return evidence, lead


def wanted_of(first, table, size):
    """The passages the second network is asked about: whoever becomes a candidate in any gallery at the loosest rate, and
    BOTH_SEE mated ones."""
    wanted = {}
    for number, (low, high) in enumerate(heldout.BINS):
        px, people = float(np.sqrt(low * high)), len(first["prototypes"])
        mine = np.concatenate([first[f"mated-{number}"], first[f"strangers-{number}"]])[:, : passages.PART]
        ever = np.zeros(len(mine), bool)
        for gallery in galleries(people, size):
            named = candidates(mine, first["prototypes"][gallery], table, px, RATES[-1])
            ever |= False if named is None else named >= 0
        ever[: min(BOTH_SEE, people)] |= table.row(px, LOOKS[-1]) is not None
        wanted[f"mated-{number}"], wanted[f"strangers-{number}"] = np.flatnonzero(ever[:people]), np.flatnonzero(ever[people:])
    return wanted


def searched(first, second, tables, number, fpir, way, size):
    """Every candidate of one size, rate and way: a structured array, one row a passage and person."""
    low, high = heldout.BINS[number]
    px = float(np.sqrt(low * high))
    mine = [np.concatenate([data[f"mated-{number}"], data[f"strangers-{number}"]]) for data in (first, second)]
    people = len(first["prototypes"])
    begin = {"same photograph": passages.PART, "second photograph": 2 * passages.PART}[way]
    rows = {}
    for gallery in galleries(people, size):
        prototypes = [data["prototypes"][gallery] for data in (first, second)]
        named = candidates(mine[0][:, : passages.PART], prototypes[0], tables[0], px, fpir)
        if named is None:
            return None
        at = np.flatnonzero(named >= 0)
        passed, evidence = confirming(mine[0][at, begin:], named[at], prototypes[0], tables[0], px, fpir)
        said, lead = asked(mine[1][at], named[at], prototypes[1], tables[1], px, way)
        for row, probe in enumerate(at):
            person = gallery[named[probe]]
            rows.setdefault((probe, person), (probe, person, *passed[row], *evidence[row], *said[row], *lead[row]))
    kind = [("probe", int), ("person", int), *((f"passed{a}", bool) for a in (0, 1)), *((f"first{a}", float) for a in (0, 1))]
    kind += [*((f"second{a}", float) for a in (0, 1)), *((f"lead{a}", float) for a in (0, 1))]
    return np.array(list(rows.values()), kind)


def confirmed(rows, agrees, against):
    """Which candidates end machine-confirmed when the second network is asked."""
    done, gone = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for at in (0, 1):
        asks = rows[f"passed{at}"] & ~done & ~gone
        done |= asks & (rows[f"lead{at}"] >= 0) & (rows[f"second{at}"] >= agrees)
        gone |= asks & ~done & (rows[f"second{at}"] <= against)
    return done


def alone(rows):
    """Which are confirmed by disjoint frames alone."""
    return rows["passed0"] | rows["passed1"]


def true_ones(rows):
    return rows["probe"] == rows["person"]


def reach_of(data, tables, number, size):
    """The evidence that KEPT of the true candidates reach in the end, both ways together; None where nothing is decidable."""
    reached = []
    for way in WAYS:
        rows = searched(*data, tables, number, RATES[0], way, size)
        if rows is None:
            return None, 0
        rows = rows[true_ones(rows) & alone(rows)]
        best = [np.where(rows[f"passed{at}"] & (rows[f"lead{at}"] >= 0), rows[f"second{at}"], -np.inf) for at in (0, 1)]
        reached.append(np.max(best, 0))
    reached = np.concatenate(reached)
    # Where somebody else is nearer for more than that, no number would keep so many; then 0 is asked for.
    return max(0.0, float(np.quantile(reached, 1 - KEPT, method="lower"))), len(reached)


def rising(reach):
    """The same, nowhere lower than at a smaller size: a larger face is no harder, and a quantile of a few hundred tracks errs."""
    numbers = sorted(reach)
    return dict(zip(numbers, np.maximum.accumulate([reach[number] for number in numbers]).tolist()))


def pairs_of(data, tables, number, way):
    """(both log likelihood ratios of true comparisons, of false ones): six confirming frames, five shown ones."""
    low, high = heldout.BINS[number]
    px = float(np.sqrt(low * high))
    if tables[0].row(px, LOOKS[-1]) is None:
        return None
    begin = {"same photograph": passages.PART, "second photograph": 2 * passages.PART}[way]
    people = min(BOTH_SEE, len(data[0]["prototypes"]))
    first = unit(data[0][f"mated-{number}"][:people, begin : begin + passages.PART].sum(1)) @ data[0]["prototypes"].T
    second = unit(data[1][f"mated-{number}"][:people, passages.shown(way)].sum(1)) @ data[1]["prototypes"].T
    both = np.stack([llr(tables[0].row(px, LOOKS[-1]), first), llr(line_of(tables[1], px, 5), second)], -1)
    same = np.eye(*first.shape, dtype=bool)
    return both[same], both[~same]


def regression(true, false):
    """Weights of both log likelihood ratios and an offset: logistic regression, both classes weighted alike."""
    rows = np.concatenate([true, false])
    rows = np.column_stack([rows, np.ones(len(rows))])
    target = np.concatenate([np.ones(len(true)), np.zeros(len(false))])
    weight = np.concatenate([np.full(len(true), 0.5 / len(true)), np.full(len(false), 0.5 / len(false))])
    at = np.array([0.5, 0.5, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(rows @ at, -50, 50)))
        gradient = rows.T @ (weight * (p - target))
        hessian = (rows * (weight * p * (1 - p))[:, None]).T @ rows + 1e-9 * np.eye(3)
        step = np.clip(np.linalg.solve(hessian, gradient), -1, 1)
        at = at - step
        if np.abs(step).max() < 1e-9:
            break
    return at


def cllr(true, false):
    """Cost of log likelihood ratios in bits (Bruemmer and du Preez, 2006): 0 is perfect, 1 says nothing."""
    return float((np.logaddexp(0, -true).mean() + np.logaddexp(0, false).mean()) / 2 / np.log(2))


def combinations(weights):
    return {
        "first network": lambda both: both[:, 0],
        "second network": lambda both: both[:, 1],
        "mean": lambda both: both.mean(1),
        "sum": lambda both: both.sum(1),
        "weighted": lambda both: both @ weights[:2] + weights[2],
    }


def reliability(scores_true, scores_false):
    """Of every 1000 false comparisons, how many reach a log likelihood ratio of 4.6 (a hundred to one); a calibrated one lets
    at most as many pass as a hundredth of the true ones that do."""
    edge = np.log(100)
    return float((scores_true >= edge).mean()), float((scores_false >= edge).mean())


def rules(reach, agrees_min):
    """The agreement asked for at every tried rule: a number for all sizes, and what is in force."""
    yield from ((f"at least {value:g}", value) for value in AGREES)
    yield "in force", max(0.0, min(agrees_min, reach))


def table_rows(role, data, tables, reach, chosen, size):
    """Rows of second.csv for one role."""
    for number, (low, high) in enumerate(heldout.BINS):
        for way in WAYS:
            for fpir in RATES:
                head = {"first": role[0], "second": role[1], "inter_eye_px": f"{low:g}-{high:g}", "confirming_frames_from": way, "target_fpir_pct": 100 * fpir}
                rows = searched(*data, tables, number, fpir, way, size)
                if rows is None or number not in reach:
                    yield head | {"rule": "not decidable"}
                    continue
                true, false = rows[true_ones(rows)], rows[~true_ones(rows)]
                before = {"true_candidates": len(true), "false_candidates": len(false)}
                kept = [group[alone(group)] for group in (true, false)]
                yield head | {"rule": "disjoint frames alone"} | before | shares(true, alone(true), false, alone(false))
                for name, agrees in rules(reach[number], chosen["agrees"]):
                    ends = [confirmed(group, agrees, chosen["against"]) for group in kept]
                    yield head | {"rule": name, "agrees_llr_min": round(agrees, 2)} | before | shares(kept[0], ends[0], kept[1], ends[1])


def shares(true, kept_true, false, kept_false):
    """How many of each there were before a step, and what share the step lost and removed."""
    out = {"true_before": len(true), "false_before": len(false)}
    for name, rows, gone in (("true_lost", true, ~kept_true), ("false_removed", false, ~kept_false)):
        if len(rows):
            low, high = interval(gone, rows["probe"])
            if gone.all():
                low = 1 - min(3.0 / len(np.unique(rows["probe"])), 1.0)
            out |= {f"{name}_pct": round(100 * gone.mean(), 1), f"{name}_low95": round(100 * low, 1), f"{name}_high95": round(100 * high, 1)}
    return out


PAIRS_HEAD = """\
# What is known of two networks together. Made by models/calibrate/second.py (`make second`); do not edit.
# Data: {source} (research use): passages of degraded frames, other people than models/quality/second.md is measured on.
#
# [[pair]]
#   id                which networks; alerts carry the second one's calibration
#   first, second     sha256 of the embedder's file and of the second network's
#   first-weight, second-weight, offset
#                     both networks' evidence as one log likelihood ratio: first-weight * LLR of the first + second-weight *
#                     LLR of the second + offset (logistic regression over all sizes, both classes weighted alike)
# [[pair.bin]]        one range of face sizes, pixels from eye to eye in the camera's picture
#   inter-eye-px-min  lower edge; the bin ends where the next one begins, the last one is open
#   reach-llr         the LLR that 95 of 100 true candidates, confirmed by disjoint frames, reach with the second network
#   tracks            true candidates it was measured on
# A pair that is not listed is judged by the second network's own calibration, and the mean stands for both.

format = 1
"""


def pairs_text(source, fitted, digests):
    lines = [PAIRS_HEAD.format(source=source)]
    for role, (weights, reach, counts) in fitted.items():
        lines += ["[[pair]]", f'id = "{role[0]} and {role[1]}"', f'first = "{digests[role[0]]}"', f'second = "{digests[role[1]]}"']
        lines += [f"first-weight = {weights[0]:.4f}", f"second-weight = {weights[1]:.4f}", f"offset = {weights[2]:.4f}", ""]
        for number, value in reach.items():
            lines += ["[[pair.bin]]", f"inter-eye-px-min = {heldout.BINS[number][0]:.1f}"]
            lines += [f"reach-llr = {value:.2f}", f"tracks = {counts[number]}", ""]
    return "\n".join(lines)


def mean_of(values):
    return float(np.mean(values)) if len(values) else float("nan")


def chosen_on(data, tables, reach, size):
    """Rows that show, on the calibration half, what each asking would remove and cost: what the defaults were chosen by."""
    for rate in RATES:
        found = {number: [searched(*data, tables, number, rate, way, size) for way in WAYS] for number in reach}
        for agrees in AGREES:
            for against in AGAINST:
                lost, removed, withdrawn = [], [], []
                for number, ways in found.items():
                    asks = max(0.0, min(agrees, reach[number]))
                    for rows in ways:
                        rows = rows[alone(rows)]
                        true, kept = true_ones(rows), confirmed(rows, asks, against)
                        lost.append(~kept[true])
                        removed.append(~kept[~true])
                        first = np.where(rows["passed0"], rows["second0"], rows["second1"])
                        withdrawn.append(first[true] <= against)
                lost, removed, withdrawn = (np.concatenate(part) for part in (lost, removed, withdrawn))
                yield {
                    "target_fpir_pct": 100 * rate, "agrees_llr_min": agrees, "withdraw_llr_max": against,
                    "true_confirmed_before": len(lost), "true_lost_pct": round(100 * mean_of(lost), 2),
                    "true_withdrawn_at_once_pct": round(100 * mean_of(withdrawn), 2),
                    "false_confirmed_before": len(removed), "false_removed_pct": round(100 * mean_of(removed), 1),
                }


def combined_rows(role, data, tables, weights):
    """Rows of combined.csv: how well each way of joining both networks' evidence is calibrated on the other half."""
    for number, (low, high) in [*enumerate(heldout.BINS), (None, (heldout.BINS[0][0], heldout.BINS[-1][1]))]:
        numbers = range(len(heldout.BINS)) if number is None else [number]
        found = [pairs_of(data, tables, each, way) for each in numbers for way in WAYS]
        found = [both for both in found if both is not None]
        if not found:
            continue
        true, false = (np.concatenate(part) for part in zip(*found))
        for name, join in combinations(weights).items():
            hits, falsely = reliability(join(true), join(false))
            yield {
                "first": role[0], "second": role[1], "inter_eye_px": f"{low:g}-{high:g}", "combination": name,
                "cllr_bits": round(cllr(join(true), join(false)), 4),
                "true_above_100_pct": round(100 * hits, 2), "false_above_100_pct": round(100 * falsely, 4),
            }


def page(rows, combined, chosen, counted):
    """The same as text for people."""
    yield f"# What the second network's agreement removes and costs\n\n{counted}"
    yield "Made by `make second`; the head of `models/calibrate/second.py` says how. 95 % intervals in brackets.\n"
    yield f"In force: agreement at {chosen['agrees']:g} or what 95 of 100 true candidates reach at the size, withdrawal at {chosen['against']:g}.\n\n"
    yield "`disjoint frames alone` counts from candidates; the other rules count from what disjoint frames confirmed.\n\n"
    yield "| first, second | px between the eyes | later frames from | target FPIR % | rule | true before | true lost % | false before | false removed % |\n"
    yield "|---|---|---|---|---|---|---|---|---|\n"
    for r in rows:
        if not (r["rule"] in ("disjoint frames alone", "in force", "not decidable") or r["rule"] in ("at least 0", "at least 4")):
            continue
        share = lambda name: f"{r[name + '_pct']:g} [{r[name + '_low95']:g}, {r[name + '_high95']:g}]" if name + "_pct" in r else ""
        rule = r["rule"] + (f" ({r['agrees_llr_min']:g})" if r["rule"] == "in force" else "")
        yield (
            f"| {r['first']}, {r['second']} | {r['inter_eye_px']} | {r['confirming_frames_from']} | {r['target_fpir_pct']:g} | {rule} "
            f"| {r.get('true_before', '')} | {share('true_lost')} | {r.get('false_before', '')} | {share('false_removed')} |\n"
        )
    yield "\n## Both networks' evidence as one\n\nCllr in bits over all comparisons (0 is perfect, 1 says nothing), and the shares of true and of false comparisons\n"
    yield "whose likelihood ratio exceeds a hundred.\n\n"
    yield "| first, second | px between the eyes | combination | Cllr | true above 100, % | false above 100, % |\n|---|---|---|---|---|---|\n"
    for r in combined:
        yield f"| {r['first']}, {r['second']} | {r['inter_eye_px']} | {r['combination']} | {r['cllr_bits']:g} | {r['true_above_100_pct']:g} | {r['false_above_100_pct']:g} |\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--manifest", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "manifest.toml")
    parser.add_argument("--gallery", type=int, default=100)
    # What daemon/logic/src/policy.rs has as defaults.
    parser.add_argument("--agrees", type=float, default=4.0)
    parser.add_argument("--against", type=float, default=-1.0)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=pathlib.Path)
    parser.add_argument("--cache", default=".sekisho/cache")
    options = parser.parse_args()
    for data in (options.calibration, options.data):
        if not data.exists():
            print(f"SKIPPED: {data} is not there (set SEKISHO_SHARED to the folder that holds data/); nothing was measured", file=sys.stderr)
            return
    entries = tomllib.loads(options.manifest.read_text())["models"]
    chosen = {"agrees": options.agrees, "against": options.against}
    rows, combined, choices, fitted, counted = [], [], [], {}, ""
    for role in ROLES:
        tables = [Table(options.manifest.parent / entries[network]["embedder"]["calibration"]) for network in role]

        def measured(data, people):
            embed = lambda network, wanted: passages.measured(data, options.manifest, network, options.models, people, options.cache, wanted)
            first = embed(role[0], None)
            return [first, embed(role[1], wanted_of(first, tables[0], options.gallery))]

        half = measured(options.calibration, CALIBRATION_PEOPLE[role])
        found = {number: reach_of(half, tables, number, options.gallery) for number in range(len(heldout.BINS))}
        reach = rising({number: value for number, (value, _) in found.items() if value is not None})
        pairs = [pairs_of(half, tables, number, way) for number in range(len(heldout.BINS)) for way in WAYS]
        true, false = (np.concatenate(part) for part in zip(*(both for both in pairs if both is not None)))
        weights = regression(true, false)
        fitted[role] = (weights, reach, {number: count for number, (_, count) in found.items()})
        choices += [{"first": role[0], "second": role[1]} | row for row in chosen_on(half, tables, reach, options.gallery)]
        del half
        other = measured(options.data, ROLES[role])
        rows += table_rows(role, other, tables, reach, chosen, options.gallery)
        combined += combined_rows(role, other, tables, weights)
        people, unknown = ROLES[role]
        counted += f"{role[0]} and {role[1]}: {people} enrolled people and {unknown} strangers of LFW in galleries of {options.gallery}; whoever is not in a gallery is a stranger to it.\n"
        print(f"{role}: reach {reach}, weights {weights.round(4)}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "second.csv", rows)
    write(options.out / "second-chosen.csv", choices)
    write(options.out / "combined.csv", combined)
    (options.out / "second.md").write_text("".join(page(rows, combined, chosen, counted)))
    if options.pairs:
        digests = {network: entries[network]["sha256"] for role in ROLES for network in role}
        options.pairs.write_text(pairs_text(options.calibration.stem, fitted, digests))


if __name__ == "__main__":
    main()
