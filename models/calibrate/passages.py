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
import hashlib
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


def measured(data, manifest, network, models, people, cache, wanted=None):
    """Embeddings of everything, from `cache` where it holds them: `prototypes` [E,D], and per size bin B `mated-B`
    [E,3*PART,D] and `strangers-B` [S,3*PART,D].

    `people` is how many enrolled people and strangers at the most. `wanted` {array: places} are the passages a second
    network is asked about, of which only what it is shown is embedded; all other frames are zero.
    """
    entry = Embedder(manifest, network, models)
    sought = "all" if wanted is None else hashlib.sha256(repr(sorted((k, v.tolist()) for k, v in wanted.items())).encode()).hexdigest()[:12]
    stem = f"passages-{pathlib.Path(data).stem}-{network}-{entry.digest[:12]}-"
    path = pathlib.Path(cache) / f"{stem}{people[0]}-{people[1]}-{sought}.npz"
    if path.exists():
        return first_of(np.load(path), people)
    for known in sorted(pathlib.Path(cache).glob(f"{stem}*-all.npz")):
        # More people than asked for are the same people first.
        if all(int(have) >= want for have, want in zip(known.stem.split("-")[-3:-1], people)):
            return first_of(np.load(known), people)
    places = list(range(3 * PART))
    if wanted is not None:
        places = sorted({place for way in ("same photograph", "second photograph") for place in shown(way)})
    enrolled, strangers = people_of(data, *people)
    out = {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=heldout._open, initargs=(manifest, network, models)) as pool:
        photos = [(at, picture) for at, own in enumerate(enrolled) for picture in own[:-2]]
        whole = np.stack(list(pool.map(heldout._plain, [picture for _, picture in photos], chunksize=8)))
        out["prototypes"] = heldout.mean_by(np.array([at for at, _ in photos]), whole)
        for number, (low, high) in enumerate(heldout.BINS):
            for kind, group, begin in (("mated", enrolled, 0), ("strangers", strangers, 100_000)):
                name = f"{kind}-{number}"
                rows = np.zeros((len(group), 3 * PART, whole.shape[1]), np.float16)
                chosen = range(len(group)) if wanted is None else wanted[name].tolist()
                tasks = [(number, begin + at, group[at][-1], group[at][-2], places) for at in chosen]
                for at, found in zip(chosen, pool.map(_passage, tasks, chunksize=4)):
                    rows[at] = found
                out[name] = rows
            print(f"  {pathlib.Path(data).stem}, {network}: {low:g} to {high:g} px embedded", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **out)
    return first_of(out, people)


def first_of(data, people):
    """The arrays of the first enrolled people and strangers."""
    return {name: rows[: people[name.startswith("strangers")]].astype(np.float32) for name, rows in data.items()}
