"""Passing people as two networks see them: the same degraded frames embedded by any embedder of the manifest.

A passage is one track of `3 * PART` frames: candidate frames from one photograph of a person, confirming frames from the
same photograph (another draw of noise, position and landmarks; pose and expression as they were), and confirming frames
from a second photograph of the person, taken by the same camera (another day, light and pose). A real track lies between
the two: its later frames are of the same minute, but not of the same instant.

People with at least three photographs are enrolled with all but the last two (at most heldout.PHOTOS_MAX); of people with
two, where the data has such, none is enrolled. Every frame's randomness depends on the person and the size only, so all
networks see the same frames.
"""

import collections
import io
import os
import pathlib
import tarfile
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image

import heldout
from calibrate import Embedder
from degrade import Track

# Candidates are looked at with 3 and 6 frames, confirming frames likewise.
PART = 6
SEED = 20262
# Networks of which only what a second network is shown is embedded, see `shown`.
SPARSE = "-int8"


def shown(confirming):
    """Places of the five frames that a second network is shown: three of the candidate's, two of the confirming part."""
    begin = {"same photograph": PART, "second photograph": 2 * PART}[confirming]
    return [0, 2, 4, begin + 1, begin + 4]


def people_of(path, enrolled_max, strangers_max):
    """(enrolled [[photographs]], strangers [[photograph, photograph]]), by name, as RGB images. The last two photographs of
    an enrolled person are the probes."""
    pictures = collections.defaultdict(list)
    with tarfile.open(path) as archive:
        members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith((".webp", ".jpg", ".png"))]
        for member in sorted(members, key=lambda m: m.name):
            pictures[pathlib.PurePath(member.name).parent.name].append(member)

        def image(member):
            return Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")

        enrolled = [own for own in pictures.values() if len(own) >= 3][:enrolled_max]
        strangers = [own for own in pictures.values() if len(own) == 2][:strangers_max]
        kept = [[image(m) for m in own[:-2][: heldout.PHOTOS_MAX] + own[-2:]] for own in enrolled]
        return kept, [[image(m) for m in own] for own in strangers]


def _passage(task):
    number, person, first, second, places = task
    low, high = heldout.BINS[number]
    random = np.random.default_rng([SEED, number, person])
    track = Track(random, np.exp(random.uniform(np.log(low), np.log(high))))
    frames = [track.frame(first) for _ in range(2 * PART)] + [track.frame(second) for _ in range(PART)]
    rows = heldout.embedded([frames[place] for place in places])
    out = np.zeros((3 * PART, rows.shape[1]), np.float16)
    out[places] = rows
    return out


def measured(data, manifest, network, models, enrolled_max, strangers_max, cache):
    """Embeddings of everything, from `cache` where it holds them: `prototypes` [E,D], and per size bin B `mated-B`
    [E,3*PART,D] and `strangers-B` [S,3*PART,D]; frames that were not embedded are zero."""
    digest = Embedder(manifest, network, models).digest
    stem = f"passages-{pathlib.Path(data).stem}-{network}-{digest[:12]}-"
    path = pathlib.Path(cache) / f"{stem}{enrolled_max}-{strangers_max}.npz"
    for known in sorted(pathlib.Path(cache).glob(f"{stem}*.npz")):
        most = [int(count) for count in known.stem.rsplit("-", 2)[1:]]
        # More people than asked for are the same people first.
        if most[0] >= enrolled_max and most[1] >= strangers_max:
            rows = {name: rows.astype(np.float32) for name, rows in np.load(known).items()}
            return first_of(rows, enrolled_max, strangers_max)
    places = list(range(3 * PART))
    if network.endswith(SPARSE):
        places = sorted({place for way in ("same photograph", "second photograph") for place in shown(way)})
    enrolled, strangers = people_of(data, enrolled_max, strangers_max)
    out = {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=heldout._open, initargs=(manifest, network, models)) as pool:
        photos = [(at, picture) for at, own in enumerate(enrolled) for picture in own[:-2]]
        whole = np.stack(list(pool.map(heldout._plain, [picture for _, picture in photos], chunksize=8)))
        out["prototypes"] = heldout.mean_by(np.array([at for at, _ in photos]), whole)
        for number, (low, high) in enumerate(heldout.BINS):
            for name, people, begin in (("mated", enrolled, 0), ("strangers", strangers, 100_000)):
                tasks = [(number, begin + at, own[-1], own[-2], places) for at, own in enumerate(people)]
                rows = list(pool.map(_passage, tasks, chunksize=4))
                out[f"{name}-{number}"] = np.stack(rows) if rows else np.zeros((0, 3 * PART, whole.shape[1]), np.float16)
            print(f"  {pathlib.Path(data).stem}, {network}: {low:g} to {high:g} px embedded", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **out)
    return {name: rows.astype(np.float32) for name, rows in out.items()}


def first_of(data, enrolled, strangers):
    """The same, cut to the first enrolled people and strangers, so that two networks speak of the same passages."""
    return {name: rows[: strangers if name.startswith("strangers") else enrolled] for name, rows in data.items()}
