"""Decisions and rates of quality.py on vectors small enough to check by hand."""

import unittest

import numpy as np

import quality
from calibrate import unit


def row(decidable=True):
    tail = [{"fmr": 10.0**-k, "cosine": 0.2 + 0.1 * k} for k in range(1, 6)]
    return {"n": 1, "decidable": decidable, "llr-slope": 20.0, "llr-offset": -6.0, "tail": tail}


class One:
    """A table with one row for everything."""

    def __init__(self, decidable=True):
        self.decidable = decidable

    def row(self, inter_eye_px, frames):
        return row() if self.decidable else None


class Decisions(unittest.TestCase):
    people = np.eye(4, dtype=np.float32)

    def decide(self, tracks, table=None, margin=-np.inf, fpir=0.004):
        return quality.decide(np.array(tracks, np.float32), self.people, table or One(), 10.0, fpir, (2,), 1, margin)

    def test_threshold_is_that_of_the_rate_a_gallery_of_four_allows(self):
        # 0.4 % among four people is 0.1 % a comparison: a cosine of 0.5 by the table.
        self.assertAlmostEqual(quality.threshold(row(), -np.expm1(np.log1p(-0.004) / 4)), 0.5, places=3)

    def test_a_track_is_judged_by_its_fused_frames(self):
        inside, outside = unit(np.array([0.6, 0, 0, 0.8])), unit(np.array([0.0, 0, 0, 1]))
        high = np.stack([self.people[1], self.people[1]])
        self.assertEqual(self.decide([high])[0], 1)
        self.assertEqual(self.decide([np.stack([inside, outside])])[0], 3)

    def test_nobody_is_named_below_the_threshold_or_within_the_margin(self):
        five = np.zeros((2, 4)) + 0.5
        self.assertEqual(self.decide([five], fpir=0.0004)[0], -1)
        close = np.stack([unit(np.array([0.71, 0.70, 0, 0]))] * 2)
        self.assertEqual(self.decide([close])[0], 0)
        self.assertEqual(self.decide([close], margin=2.0)[0], -1)

    def test_what_is_not_decidable_is_none(self):
        self.assertIsNone(self.decide([np.stack([self.people[0]] * 2)], table=One(decidable=False)))

    def test_any_of_takes_the_best_single_frame(self):
        lucky = np.stack([unit(np.array([0.0, 0, 0.4, 0.9])), self.people[2]])
        self.assertEqual(quality.any_of(lucky[None], self.people, 0.95)[0], 2)
        self.assertEqual(quality.any_of(lucky[None, :1], self.people, 0.95)[0], -1)


class Rates(unittest.TestCase):
    def test_no_error_in_sixty_people_means_at_most_five_percent(self):
        low, high = quality.interval(np.zeros(120, bool), np.repeat(np.arange(60), 2))
        self.assertEqual((low, high), (0.0, 0.05))

    def test_interval_holds_the_share_and_widens_when_trials_share_people(self):
        hits = np.arange(200) % 4 == 0
        low, high = quality.interval(hits, np.arange(200))
        wide = quality.interval(np.repeat(np.arange(10) % 4 == 0, 20), np.repeat(np.arange(10), 20))
        self.assertTrue(low < 0.25 < high)
        self.assertGreater(wide[1] - wide[0], high - low)

    def test_galleries_are_disjoint(self):
        parts = quality.galleries(10, 3)
        self.assertEqual(len(parts), 3)
        self.assertEqual(len(set(np.concatenate(parts))), 9)


if __name__ == "__main__":
    unittest.main()
