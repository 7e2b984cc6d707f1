"""Looks at the composed clips with the detector and the embedder, after H.264, and compares with the ground truth.

Writes .sekisho/demo/contact-sheet.png: per camera a row of whole frames, and the largest faces of every visit, enlarged.
Prints for every visit and size: faces found of those present, and the mean cosine to the person's own enrolment photo
and to the nearest other one. Ends with status 1 when an enrolled person is not clearly apart from everybody else.
"""

import collections
import sys

import numpy as np
from PIL import Image

from clip import frames, truth
from compose import CLIPS, ENROLLED, FPS
from faces import Faces, aligned, inter_eye_px
from people import PHOTOS

BINS = (0, 4.5, 6, 8, 11, 16, 24, 99)
# Every third frame is five a second, what the daemon analyses.
EVERY = FPS // 5


def gallery(networks):
    """One prototype a person: photo and its mirror image."""
    prototypes = {}
    for who, about in ENROLLED.items():
        picture = np.asarray(Image.open(PHOTOS / about["photo"]).convert("RGB"))
        best = networks.find(picture, scale=min(1.0, 640 / max(picture.shape)))[0]
        crop = aligned(picture, best["points"])
        both = networks.embed([crop, crop[:, ::-1]]).sum(0)
        prototypes[who] = both / np.linalg.norm(both)
    return prototypes


def present_at(about, frame):
    """(visit number, x, y, px between the eyes) of everybody in view, interpolated between the samples."""
    for number, visit in enumerate(about["visits"]):
        samples = np.array(visit["samples"])
        if samples[0, 0] <= frame <= samples[-1, 0]:
            yield number, *(float(np.interp(frame, samples[:, 0], samples[:, i])) for i in (1, 2, 3))


def examine(place, networks, prototypes):
    """rows: per visit and bin [present, cosine lists]; sheets: frames and best crops to look at; strays: faces nobody has."""
    about = truth(place)
    rows = collections.defaultdict(lambda: [0, []])
    shown, crops, strays = [], collections.defaultdict(list), 0
    for number, picture in frames(place, EVERY):
        if number % (about["frames"] // 12) < EVERY:
            shown.append(picture)
        found = networks.find(picture, scale=2.0)
        for visit, x, y, unit in present_at(about, number):
            key = (visit, int(np.digitize(unit, BINS)) - 1)
            rows[key][0] += 1
            near = [face for face in found if np.hypot(*(face["points"][:2].mean(0) - [x, y])) < max(4.0, 0.7 * unit)]
            if not near:
                continue
            found = [face for face in found if face is not near[0]]
            crop = aligned(picture, near[0]["points"])
            rows[key][1].append((networks.embed([crop])[0], inter_eye_px(near[0]) / unit))
            crops[visit].append((unit, crop))
        strays += len(found)
    for (visit, _), row in rows.items():
        row[1] = [({who: float(e @ p) for who, p in prototypes.items()}, r) for e, r in row[1]]
    return about, rows, shown, crops, strays


def table(place, about, rows, strays):
    """Prints the rows; returns each visit's mean (own cosine, best other cosine) over its faces of at least 11 px."""
    own_of, other_of = collections.defaultdict(list), collections.defaultdict(list)
    print(f"\n{place}: faces found that nobody has: {strays}")
    print(f"{'visit':<14}{'eyes px':>10}{'present':>9}{'found':>7}{'eyes meas./true':>17}{'cos own':>9}{'best other':>12}")
    for (visit, size), (count, found) in sorted(rows.items()):
        who = about["visits"][visit]["who"]
        own = [c[who] for c, _ in found if who in c]
        other = [max(v for k, v in c.items() if k != who) for c, _ in found]
        text = [f"{np.mean(v):.2f}" if v else "-" for v in ([r for _, r in found], own, other)]
        print(f"{visit} {who:<12}{BINS[size]:>5}-{BINS[size + 1]:<5}{count:>8}{len(found):>7}{text[0]:>17}{text[1]:>9}{text[2]:>12}")
        if BINS[size] >= 11:
            own_of[visit] += own
            other_of[visit] += other
    return [np.mean(v) for v in own_of.values() if v], [np.mean(v) for v in other_of.values() if v]


def sheet(parts):
    """Per camera twelve small frames in rows of four, then the enlarged faces."""
    tiles = []
    for _, _, shown, crops, _ in parts:
        small = [np.asarray(Image.fromarray(p).resize((480, 270))) for p in shown[:12]]
        small += [np.zeros_like(small[0])] * (-len(small) % 4)
        tiles += [np.hstack(small[i : i + 4]) for i in range(0, len(small), 4)]
        strip = []
        for visit in sorted(crops):
            ordered = sorted(crops[visit], key=lambda item: item[0])
            strip += [ordered[i][1] for i in (len(ordered) // 4, len(ordered) // 2, len(ordered) - 1)]
        strip = (strip + [np.zeros((112, 112, 3), np.uint8)] * 17)[:17]
        line = np.hstack(strip)
        tiles.append(np.hstack([line, np.zeros((112, 1920 - line.shape[1], 3), np.uint8)]))
    path = CLIPS.parent / "contact-sheet.png"
    Image.fromarray(np.vstack(tiles)).save(path)
    return path


def main():
    networks = Faces()
    prototypes = gallery(networks)
    parts = [examine(place, networks, prototypes) for place in ("gate", "yard")]
    own, other = [], []
    for place, (about, rows, _, _, strays) in zip(("gate", "yard"), parts):
        a, b = table(place, about, rows, strays)
        own, other = own + a, other + b
    # Tracks are judged as a whole, so visits are compared, not single faces.
    print(f"\nvisits, faces from 11 px up: lowest own cosine {min(own):.2f}, highest other {max(other):.2f}")
    print(f"look at {sheet(parts)}")
    if min(own) <= max(other) + 0.15:
        sys.exit("the enrolled people are not clearly apart from the others: the demonstration would prove nothing")


if __name__ == "__main__":
    main()
