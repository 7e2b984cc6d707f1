#!/usr/bin/env python3
"""Measures how an embedder's cosines are distributed at each face size and frame count, and writes the calibration.

    calibrate.py --data calibration-celeba.tar --network sekisho-student-m --models .sekisho/models
                 [--manifest FILE]    the manifest whose entry --network names (default: models/manifest.toml)
                 [--out FILE]         default: the calibration file which that entry names
                 [--date RFC3339]     when it was measured (default: now)
                 [--cache FILE.npz]   keep the embeddings there and use them again

Aligned 112x112 photographs, named IDENTITY/FILE, are degraded to each size (degrade.py), embedded, and compared with
prototypes (photograph and its mirror image) of other, undegraded photographs: of the same person (genuine) and of
every other person (impostor). No person is on both sides of an impostor comparison, and none was in training.
About ten minutes on one 2.4 GHz core. The same input gives the same file, up to the last digits of float arithmetic.
"""

import argparse
import collections
import hashlib
import io
import pathlib
import sys
import tarfile
import time
import tomllib

import numpy as np
import onnxruntime
from PIL import Image

import fit
from degrade import Track

EDGES_PX = (3.0, 4.5, 6.0, 8.0, 11.0, 16.0, 24.0, None)
# The last bin is open; its probes lie between 24 and 40 px. The photographs carry no more detail than that.
LAST_BIN_TO_PX = 40.0
FRAMES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
# Many tracks of 8 frames and fewer of 24: the tail needs people, long tracks need frames, and embedding costs.
SHORT_FRAMES, SHORT_TRACKS = 8, 320
LONG_FRAMES, LONG_TRACKS = 24, 100
SEED = 20260


def read_photographs(path):
    """{identity: [RGB images]} in the order of the names."""
    people = collections.defaultdict(list)
    with tarfile.open(path) as archive:
        members = sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name)
        for member in members:
            image = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
            if image.size != (112, 112):
                sys.exit(f"{path}: {member.name} is {image.size[0]}x{image.size[1]}, aligned 112x112 crops are needed")
            people[pathlib.PurePath(member.name).parent.name].append(image)
    return dict(people)


class Embedder:
    """An embedder of the manifest, asked as the program asks it."""

    def __init__(self, manifest, network, models):
        entry = tomllib.loads(pathlib.Path(manifest).read_text())["models"].get(network)
        if entry is None or entry["role"] != "embedder":
            sys.exit(f"{manifest}: {network} is not one of its embedders")
        if "crop-part" in entry["embedder"]:
            sys.exit(f"{manifest}: {network} wants a part of the crop (crop-part), which this script does not cut")
        places = [pathlib.Path(manifest).parent / entry["file"], pathlib.Path(models) / entry["file"]]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            sys.exit(f"{entry['file']} lies neither beside {manifest} nor in {models}; run deploy/setup")
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if self.digest != entry["sha256"]:
            sys.exit(f"{path}: sha256 is {self.digest}, {manifest} says {entry['sha256']}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input, self.output = entry["input"], entry["embedder"]["output"]
        self.mean = np.array(self.input["mean"], np.float32)[:, None, None]
        self.scale = np.array(self.input["scale"], np.float32)[:, None, None]
        self.calibration = pathlib.Path(manifest).parent / entry["embedder"]["calibration"]

    def __call__(self, images):
        """Unit embeddings, one row an image."""
        rows, order = [], (0, 1, 2) if self.input["colour"] == "rgb" else (2, 1, 0)
        for at in range(0, len(images), 4):
            data = np.stack([np.asarray(i, np.float32).transpose(2, 0, 1)[list(order)] for i in images[at : at + 4]])
            data = ((data - self.mean) * self.scale).astype(np.float32)
            rows.append(self.session.run([self.output], {self.input["name"]: data})[0])
        return unit(np.concatenate(rows))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def measure(people, embed):
    """All embeddings: prototypes of every photograph, and per bin the frames of every track."""
    names = sorted(people)
    photos = [(name, image) for name in names for image in people[name]]
    started = time.monotonic()
    both = [image for _, image in photos] + [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for _, image in photos]
    plain = embed(both)
    result = {
        "owner": np.array([names.index(name) for name, _ in photos]),
        "prototypes": unit(plain[: len(photos)] + plain[len(photos) :]).astype(np.float32),
    }
    # Probes: one photograph of each of the first people who have others to be compared with.
    first = {name: index for index, (name, _) in reversed(list(enumerate(photos)))}
    probes = [first[name] for name in names if len(people[name]) >= 3][: max(SHORT_TRACKS, LONG_TRACKS)]
    result["probes"] = np.array(probes)
    for number, low in enumerate(EDGES_PX[:-1]):
        high = EDGES_PX[number + 1] or LAST_BIN_TO_PX
        tracks = []
        for at, probe in enumerate(probes):
            random = np.random.default_rng([SEED, number, probe])
            track = Track(random, np.exp(random.uniform(np.log(low), np.log(high))))
            count = LONG_FRAMES if at < LONG_TRACKS else SHORT_FRAMES
            tracks.append(embed([track.frame(photos[probe][1]) for _ in range(count)]))
        result[f"bin{number}"] = np.concatenate(tracks).astype(np.float32)
        print(f"  {low:g} to {high:g} px: {len(tracks)} tracks, {time.monotonic() - started:.0f} s", flush=True)
    return result


def tracks_of(data, number):
    """Splits a bin's rows into tracks."""
    rows, at, tracks = data[f"bin{number}"], 0, []
    for index in range(len(data["probes"])):
        count = LONG_FRAMES if index < LONG_TRACKS else SHORT_FRAMES
        tracks.append(rows[at : at + count])
        at += count
    return tracks


def scores(data, number, n):
    """(genuine cosines, impostor cosines, impostor probe people) of templates fused from `n` frames."""
    owner, prototypes = data["owner"], data["prototypes"]
    # One photograph of each person stands for him among the impostors.
    _, one_each = np.unique(owner, return_index=True)
    genuine, impostor, identities = [], [], 0
    for probe, track in zip(data["probes"], tracks_of(data, number)):
        if len(track) < n:
            continue
        identities += 1
        # A few disjoint groups from one track: more genuine scores, though of the same face.
        for group in range(min(len(track) // n, 3)):
            template = unit(track[group * n : (group + 1) * n].sum(0))
            mine = np.flatnonzero((owner == owner[probe]) & (np.arange(len(owner)) != probe))
            others = one_each[owner[one_each] != owner[probe]]
            genuine.append(prototypes[mine] @ template)
            impostor.append(prototypes[others] @ template)
    return np.concatenate(genuine), np.concatenate(impostor), identities


def clean_share(data, fmr=1e-4):
    """Share of genuine pairs of undegraded photographs above the cosine that `fmr` of impostor pairs reach."""
    owner, all_pairs = data["owner"], data["prototypes"] @ data["prototypes"].T
    upper = np.triu_indices(len(owner), 1)
    same = (owner[:, None] == owner[None])[upper]
    cosines = all_pairs[upper]
    return float(np.mean(cosines[same] >= np.quantile(cosines[~same], 1 - fmr)))


HEAD = """\
# Calibration of {name}: what its cosine means at each face size and number of fused frames.
# Made by models/calibrate/calibrate.py; do not edit. {source}
#
# format            version of this format
# id                name of this calibration; alerts carry it
# model-digest      sha256 of the embedder's file; another embedder refuses this file
# preprocessing     version of detector, aligner and sampling
# date              when it was measured; an old one is called old in status
# [[bin]]           one range of face sizes: pixels from eye to eye in the camera's picture, before any resizing
#   inter-eye-px-min, -max       lower edge (inclusive) and upper edge (exclusive; absent in the last bin)
# [[bin.frames]]    one number of frames fused into the template (unit sum of unit embeddings)
#   n                            from this many frames up to the next row's
#   decidable, reason            whether the row may identify anybody, and why not
#   genuine-count, -mean, -std   comparisons with another photograph of the same person, and their cosines
#   impostor-count, -mean, -std  comparisons with other people
#   impostor-identities          how many different people were behind the impostor probes
#   llr-slope, llr-offset        evidence: natural-log likelihood ratio = slope * cosine + offset
#                                (logistic regression, both classes weighted alike)
#   tail                         which cosine the share fmr of impostor comparisons reaches; extrapolated = from a
#                                generalised Pareto tail, because fewer than {exceedances} comparisons lay beyond
# Slope, crossing point and tail are smoothed over neighbouring sizes and frame counts and made monotone, so that no size
# looks better than a larger one by chance; counts, means and standard deviations are as measured.
#
# Limits: frames of a track are degradations of one photograph (pose and expression do not vary); the photographs are of
# celebrities, frontal and well lit, and sharp up to about 20 px between the eyes; frames carry equal weight here. A site's
# own strangers move the tail: recalibrate on them before relying on a rate below 1e-4.
#
# For comparison, the photographs undegraded: {clean:.1f} % of genuine pairs pass at a false match rate of 1e-4. They vary in
# pose, age and make-up, and a few carry a wrong name; with such people no camera finds more.
#
# TPIR in % at FPIR 1 % | 0.1 % in a gallery of 100 people (share of genuine tracks above the threshold):
{summary}
"""


def write(path, name, digest, rows, clean, data_name, date):
    summary = "\n".join(("# " + line).rstrip() for line in table(rows))
    source = f"Data: {data_name} (research use)."
    lines = [HEAD.format(name=name, source=source, summary=summary, clean=100 * clean, exceedances=fit.EXCEEDANCES_MIN)]
    lines += ["format = 1", f'id = "{name}-celeba-1"', f'model-digest = "{digest}"', 'preprocessing = "1"', f'date = "{date}"']
    lines += [f'source = "{data_name}, {SHORT_TRACKS} tracks a size bin, 1000 people; research-only photographs"']
    for number, low in enumerate(EDGES_PX[:-1]):
        lines += ["", "[[bin]]", f"inter-eye-px-min = {low}"]
        if EDGES_PX[number + 1]:
            lines += [f"inter-eye-px-max = {EDGES_PX[number + 1]}"]
        for n in FRAMES:
            row = rows[number, n]
            lines += ["", "[[bin.frames]]", f"n = {n}", f"decidable = {str(row.decidable).lower()}"]
            if row.reason:
                lines += [f'reason = "{row.reason}"']
            for kind, counted in (("genuine", row.genuine), ("impostor", row.impostor)):
                lines += [f"{kind}-count = {counted.count}", f"{kind}-mean = {counted.mean:.4f}", f"{kind}-std = {counted.std:.4f}"]
            lines += [f"impostor-identities = {row.identities}"]
            lines += [f"llr-slope = {row.slope:.3f}", f"llr-offset = {row.offset:.3f}"]
            points = (f"{{ fmr = {t.fmr:g}, cosine = {t.cosine:.4f}{', extrapolated = true' * t.extrapolated} }}" for t in row.tail)
            lines += [f"tail = [{', '.join(points)}]"]
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


def table(rows):
    """TPIR by bin and frame count as lines of text."""
    yield "px, frames " + "".join(f"{n:>14}" for n in FRAMES)
    for number, low in enumerate(EDGES_PX[:-1]):
        cells = (f"{100 * rows[number, n].tpir(0.01, 100):5.1f} |{100 * rows[number, n].tpir(0.001, 100):5.1f}{' ' if rows[number, n].decidable else 'x'}" for n in FRAMES)
        label = f"{low:g}-{EDGES_PX[number + 1]:g}" if EDGES_PX[number + 1] else f"{low:g}-"
        yield f"{label:<11}" + "".join(f"{cell:>14}" for cell in cells)
    yield "x: not decidable"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--manifest", default=pathlib.Path(__file__).resolve().parents[1] / "manifest.toml")
    parser.add_argument("--out")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    parser.add_argument("--cache")
    options = parser.parse_args()
    embed = Embedder(options.manifest, options.network, options.models)
    if options.cache and pathlib.Path(options.cache).exists():
        data = dict(np.load(options.cache))
    else:
        data = measure(read_photographs(options.data), embed)
        if options.cache:
            np.savez(options.cache, **data)
    rows = {}
    for number in range(len(EDGES_PX) - 1):
        for n in FRAMES:
            rows[number, n] = fit.measured(*scores(data, number, n))
    fit.smooth(rows, len(EDGES_PX) - 1, FRAMES)
    write(options.out or embed.calibration, options.network, embed.digest, rows, clean_share(data), pathlib.Path(options.data).stem, options.date)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
