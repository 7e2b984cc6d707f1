"""The protocol on numbers small enough to check by hand, and on a tiny set with a fake network."""

import numpy as np
import pytest

from evaluate import accuracy, lfw, open_set, overlap, probes, verification


def test_threshold_comes_from_the_other_folds():
    # Fold 1 alone would like a threshold of 0.2; the others say 0.5, so its low same-person pair counts as wrong.
    scores = np.array([0.9, 0.1, 0.3, 0.1, 0.9, 0.1, 0.8, 0.15])
    same = np.array([True, False] * 4)
    folds = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    right = accuracy.fold_correct(scores, same, folds)
    assert not right[2] and right.sum() == 7


def test_perfect_scores_are_perfect():
    scores, same = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])
    assert 0.2 < accuracy.best_threshold(scores, same) < 0.8
    assert accuracy.tar_at_far(scores, same, 0.01) == 1.0


def test_bootstrap_resamples_people_not_pairs():
    values = np.r_[np.ones(50), np.zeros(50)]
    one_each = accuracy.bootstrap(values, np.arange(100))
    two_people = accuracy.bootstrap(values, np.repeat([0, 1], 50))
    assert two_people[0] < one_each[0] < 0.5 < one_each[1] < two_people[1]


def test_pairs_file_is_read_in_folds():
    text = "2 1\nAnn\t1\t2\nAnn\t1\tBob\t3\nCid\t4\t5\nCid\t4\tDee\t1\n"
    pairs = lfw.read_pairs(text)
    assert [p.same for p in pairs] == [True, False, True, False]
    assert [p.fold for p in pairs] == [0, 0, 1, 1]
    assert pairs[1].second == "Bob_0003" and pairs[1].person == "Ann"


def test_probes_repeat_and_112_px_area_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    assert np.array_equal(probes.probe(image, "a", 112, "area"), image)
    first = probes.probe(image, "a", 16, "held-out")
    assert np.array_equal(first, probes.probe(image, "a", 16, "held-out"))
    assert not np.array_equal(first, probes.probe(image, "a", 16, "held-out", take=1))
    with pytest.raises(ValueError, match="degradation"):
        probes.probe(image, "a", 16, "sepia")


def test_overlap_finds_a_name_and_a_duplicate():
    assert overlap.spelled(["web/George_W_Bush_7.webp", "utk/0001_20.webp"], ["George_W_Bush"]) == [
        ("web/George_W_Bush_7.webp", "George_W_Bush")
    ]
    train = np.eye(4, dtype=np.float32)
    best, where = overlap.nearest(train[[2]], train)
    assert best[0] == 1.0 and where[0] == 2


def test_identification_rate_counts_the_right_person_above_the_threshold():
    gallery = np.eye(3, dtype=np.float32)
    mated = np.array([[1.0, 0, 0], [0, 0.9, 0.4], [0.9, 0, 0.4]], np.float32)
    unmated = np.full((100, 3), 0.1, np.float32)
    rate, rank1 = open_set.identification(gallery, mated, np.array([0, 1, 2]), unmated, 0.01)
    assert rate.tolist() == [1.0, 1.0, 0.0] and rank1.tolist() == [1.0, 1.0, 0.0]


class Colour:
    """A network that sees the mean colour."""

    name, kind = "colour", "student"

    def __init__(self, path):
        self.path = path

    def embed(self, chips):
        mean = chips.reshape(len(chips), -1, 3).mean(1) - 100.0
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_evaluation_of_a_tiny_set(tmp_path):
    (tmp_path / "net").write_bytes(b"x")
    red, blue = np.zeros((112, 112, 3), np.uint8), np.zeros((112, 112, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    images = {"A_0001": red, "A_0002": red, "B_0001": blue, "B_0002": blue}
    pairs = [lfw.Pair("A_0001", "A_0002", True, 0), lfw.Pair("A_0001", "B_0001", False, 0),
             lfw.Pair("B_0001", "B_0002", True, 1), lfw.Pair("B_0002", "A_0002", False, 1)]
    rows, verdicts, persons = verification.evaluate(
        [Colour(tmp_path / "net")], images, pairs, [112, 8], ["area"], ["hr-lr", "lr-lr"], tmp_path / "cache"
    )
    assert len(rows) == 4 and all(row["accuracy"] == 100.0 for row in rows)
    assert verification.compare(verdicts, persons, "colour", ["colour"])[0]["gain_pp"] == 0.0
