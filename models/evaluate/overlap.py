"""Audit: is anybody of the LFW test set in the training data? By name, and by near-duplicate embeddings.

    python -m evaluate.overlap --net intel=intel:FILE --targets runs/cache/targets-....npy --out student/tables

Names: training pictures carry dataset numbers, ages or web file names; any that spells an LFW person's name is listed.
Embeddings: for every LFW picture the most similar training crop. Above `--duplicate` it is held to be the same picture
or person and listed; the table gives the whole distribution, and that of LFW's own different-person pairs beside it.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

from distill.crops import shared_dir
from distill.train import allowed_rows

from . import lfw, networks
from .verification import write


def spelled(training: list[str], persons: list[str]) -> list[tuple[str, str]]:
    """(training file, LFW person) where the file name holds the person's whole name."""
    plain = {re.sub(r"[^a-z]", "", person.lower()): person for person in persons}
    found = []
    for name in training:
        letters = re.sub(r"[^a-z]", "", Path(name).stem.lower())
        found += [(name, plain[key]) for key in plain if len(key) >= 6 and key in letters] if len(letters) >= 6 else []
    return found


def nearest(test: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highest cosine of each test row among the training rows, and where."""
    best, where = np.full(len(test), -1.0, np.float32), np.zeros(len(test), int)
    for start in range(0, len(train), 4096):
        scores = test @ train[start : start + 4096].T
        top = scores.argmax(1)
        value = scores[np.arange(len(test)), top]
        better = value > best
        best[better], where[better] = value[better], top[better] + start
    return best, where


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", required=True)
    parser.add_argument("--targets", type=Path, required=True, help="embeddings of the training crops by the same net")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--duplicate", type=float, default=0.5)
    parser.add_argument("--exclude", default="", help="the table of crops that the training left out, as in its config")
    parser.add_argument("--name", default="overlap", help="stem of the files written")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    embedder = networks.parse(arguments.net)
    images, pairs = lfw.load(shared_dir() / "data" / "test-lfw.tar")
    names = sorted(images)
    own = networks.cached(embedder, "sharp-112", names, lambda i: images[names[i]], Path("runs/embeddings"))
    training = json.loads((arguments.cache / "meta.json").read_text())["names"]
    rows = allowed_rows(training, arguments.exclude)
    training, targets = [training[row] for row in rows], np.load(arguments.targets)[rows]
    persons = sorted({name.rsplit("_", 1)[0] for name in names})
    named = spelled(training, persons)
    best, where = nearest(own, targets)
    at = dict(zip(names, own))
    other = np.array([float(at[p.first] @ at[p.second]) for p in pairs if not p.same])
    same = np.array([float(at[p.first] @ at[p.second]) for p in pairs if p.same])
    print(f"{len(training)} training crops, {len(names)} test pictures of {len(persons)} people")
    print(f"names found: {len(named)} {named[:20]}")
    rows = []
    for low in (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9):
        rows.append({
            "cosine_at_least": low, "test_pictures": int((best >= low).sum()),
            "lfw_same_person_pairs_pct": round(100 * float((same >= low).mean()), 2),
            "lfw_other_person_pairs_pct": round(100 * float((other >= low).mean()), 2),
        })
        print(*rows[-1].values())
    write(arguments.out / f"{arguments.name}.csv", rows)
    listed = [i for i in np.argsort(best)[::-1] if best[i] >= arguments.duplicate]
    write(arguments.out / f"{arguments.name}-listed.csv", [
        {"test_picture": names[i], "training_crop": training[where[i]], "cosine": round(float(best[i]), 3)} for i in listed
    ])
    print(f"{len(listed)} test pictures have a training crop at or above {arguments.duplicate}")


if __name__ == "__main__":
    main()
