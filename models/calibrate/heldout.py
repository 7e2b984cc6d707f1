"""Tracks of people who are in no training or calibration set, embedded by any embedder of the manifest.

People are those of LFW view 2 (aligned 112x112 photographs, named PERSON_NUMBER). Enrolled people have at least three
photographs: all but the last make the prototype, the last one is the probe. Strangers have one photograph. A track is
`FRAMES` draws of degrade.Track from one photograph, so pose and expression do not vary within it.
"""

import collections
import io
import os
import pathlib
import tarfile
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image

from calibrate import Embedder, unit
from degrade import Track

FRAMES = 12
PHOTOS_MAX = 5
SEED = 20261
# One size bin of the calibration at a time; the last one is open and its probes lie between 24 and 40 px.
BINS = ((6.0, 8.0), (8.0, 11.0), (11.0, 16.0), (16.0, 24.0), (24.0, 40.0))


def people_of(path, enrolled_max, strangers_max):
    """(enrolled {name: pictures, the last one the probe}, strangers {name: picture}), by name, as RGB images."""
    pictures = collections.defaultdict(list)
    with tarfile.open(path) as archive:
        members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith((".webp", ".jpg", ".png"))]
        for member in sorted(members, key=lambda m: m.name):
            pictures[pathlib.PurePath(member.name).stem.rsplit("_", 1)[0]].append(member)
        enrolled = [name for name, own in pictures.items() if len(own) >= 3][:enrolled_max]
        strangers = [name for name, own in pictures.items() if len(own) == 1][:strangers_max]

        def image(member):
            return Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")

        kept = {name: [image(m) for m in pictures[name][:-1][:PHOTOS_MAX] + pictures[name][-1:]] for name in enrolled}
        return kept, {name: image(pictures[name][0]) for name in strangers}


_embed = None


def _open(manifest, network, models):
    global _embed
    _embed = Embedder(manifest, network, models)


def embedded(pictures):
    """Unit embeddings by the network of this process."""
    return _embed(pictures)


def _track(task):
    number, person, picture, frames = task
    low, high = BINS[number]
    random = np.random.default_rng([SEED, number, person])
    track = Track(random, np.exp(random.uniform(np.log(low), np.log(high))))
    return _embed([track.frame(picture) for _ in range(frames)]).astype(np.float32)


def _plain(picture):
    """A photograph and its mirror image, as enrolment takes them."""
    return unit(_embed([picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]).sum(0)).astype(np.float32)


def measured(data, manifest, network, models, enrolled_max, strangers_max, cache):
    """Embeddings of everything, from `cache` where it holds them: arrays by name.

    `prototypes` [E,D]; `matched-B` [E,D] prototypes of the same photographs degraded to bin B; `mated-B` [E,FRAMES,D]
    and `strangers-B` [S,FRAMES,D].
    """
    digest = Embedder(manifest, network, models).digest
    path = pathlib.Path(cache) / f"heldout-{network}-{digest[:12]}-{enrolled_max}-{strangers_max}.npz"
    if path.exists():
        return dict(np.load(path))
    enrolled, strangers = people_of(data, enrolled_max, strangers_max)
    out = {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=_open, initargs=(manifest, network, models)) as pool:
        def tracks(number, pictures, first, frames=FRAMES):
            tasks = [(number, first + at, picture, frames) for at, picture in enumerate(pictures)]
            return list(pool.map(_track, tasks, chunksize=4))

        photos = [(at, picture) for at, own in enumerate(enrolled.values()) for picture in own[:-1]]
        owner = np.array([at for at, _ in photos])
        whole = np.stack(list(pool.map(_plain, [picture for _, picture in photos], chunksize=8)))
        out["prototypes"] = mean_by(owner, whole)
        for number, (low, high) in enumerate(BINS):
            # Three draws a photograph, other draws than any probe's.
            degraded = np.stack(tracks(number, [picture for _, picture in photos], 500_000, 3)).sum(1)
            out[f"matched-{number}"] = mean_by(owner, degraded)
            out[f"mated-{number}"] = np.stack(tracks(number, [own[-1] for own in enrolled.values()], 0))
            out[f"strangers-{number}"] = np.stack(tracks(number, strangers.values(), 100_000))
            print(f"  {network}: {low:g} to {high:g} px embedded", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **out)
    return out


def mean_by(owner, rows):
    """Unit mean of the rows of each owner."""
    return unit(np.stack([rows[owner == person].sum(0) for person in range(owner.max() + 1)])).astype(np.float32)
