"""python -m unittest discover -s models/calibrate"""

import unittest

import numpy as np

import fit
from degrade import Track
from PIL import Image


def gaussians(random, genuine_mean, count=(2000, 400_000), std=0.1):
    return random.normal(genuine_mean, std, count[0]), random.normal(0, std, count[1])


class Fit(unittest.TestCase):
    def setUp(self):
        self.random = np.random.default_rng(7)

    def test_line_is_the_likelihood_ratio_of_two_gaussians(self):
        slope, offset = fit.evidence_line(*gaussians(self.random, 0.3))
        # Equal spread: llr = (m / s^2) c - m^2 / (2 s^2).
        self.assertAlmostEqual(slope, 30, delta=1.5)
        self.assertAlmostEqual(offset, -4.5, delta=0.3)

    def test_separated_classes_give_a_finite_line(self):
        slope, offset = fit.evidence_line(*gaussians(self.random, 0.9, std=0.02))
        self.assertTrue(np.isfinite([slope, offset]).all() and slope > 0)

    def test_counted_tail_is_the_quantile_and_the_fitted_tail_is_near_the_truth(self):
        tail = {p.fmr: p for p in fit.impostor_tail(gaussians(self.random, 0.3)[1])}
        self.assertFalse(tail[1e-4].extrapolated)
        self.assertTrue(tail[1e-5].extrapolated)
        self.assertAlmostEqual(tail[1e-3].cosine, 0.309, delta=0.005)
        self.assertAlmostEqual(tail[1e-5].cosine, 0.4265, delta=0.03)

    def test_rising_is_rising_both_ways_and_leaves_a_rising_table_alone(self):
        table = self.random.normal(size=(5, 6))
        out = fit.rising(table, np.ones_like(table))
        self.assertTrue((np.diff(out, axis=0) >= 0).all() and (np.diff(out, axis=1) >= 0).all())
        fine = np.add.outer(np.arange(5.0), np.arange(6.0))
        np.testing.assert_allclose(fit.rising(fine, np.ones_like(fine)), fine)

    def test_a_size_without_separation_is_not_decidable_and_takes_the_smaller_ones_along(self):
        rows = {}
        for b, mean in enumerate((0.5, 0.0, 0.6)):
            for n in (1, 2):
                rows[b, n] = fit.measured(*gaussians(self.random, mean, (400, 20_000)), 200)
        fit.decide(rows, 3, (1, 2))
        self.assertEqual([rows[b, 1].decidable for b in range(3)], [False, False, True])
        self.assertIn("% of genuine tracks", rows[0, 1].reason)


class Degrade(unittest.TestCase):
    def test_frames_are_crops_differ_and_keep_the_picture_where_it_was(self):
        ramp = np.zeros((112, 112, 3), np.uint8)
        ramp[:, :, :] = np.linspace(40, 200, 112)[None, :, None]
        for size in (3.5, 10.0, 40.0):
            track = Track(np.random.default_rng(3), size)
            track.gamma, track.gain, track.offset = 1.0, 1.0, 0.0
            frames = [np.asarray(track.frame(Image.fromarray(ramp)), float) for _ in range(8)]
            self.assertEqual(frames[0].shape, (112, 112, 3))
            self.assertGreater(np.abs(frames[0] - frames[1]).mean(), 0.05)
            # A ramp shows a systematic shift of the aligned picture: 1.44 grey levels are one pixel.
            middle = np.mean([f[40:72, 40:72].mean() for f in frames]) - ramp[40:72, 40:72].mean()
            self.assertLess(abs(middle) / 1.44, 2.0 if size < 8 else 1.0)


if __name__ == "__main__":
    unittest.main()
