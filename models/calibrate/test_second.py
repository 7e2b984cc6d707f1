"""Decisions of second.py on rows and vectors small enough to check by hand."""

import tomllib
import unittest

import numpy as np

import heldout
import second
from test_quality import One, row

KIND = [("probe", int), ("person", int), ("passed0", bool), ("passed1", bool), ("first0", float), ("first1", float)]
KIND += [("second0", float), ("second1", float), ("lead0", float), ("lead1", float)]


def candidate(passed, said, lead=(1.0, 1.0), probe=0, person=0):
    return np.array([(probe, person, *passed, 6.0, 6.0, *said, *lead)], KIND)


class Confirming(unittest.TestCase):
    def ends(self, *arguments, agrees=2.0, against=-1.0, **more):
        return bool(second.confirmed(candidate(*arguments, **more), agrees, against)[0])

    def test_agreement_at_either_asking_confirms(self):
        self.assertTrue(self.ends((True, True), (3.0, 0.0)))
        self.assertTrue(self.ends((True, True), (1.0, 3.0)), "left open, then agreed")
        self.assertFalse(self.ends((True, True), (1.0, 1.9)))

    def test_opposition_ends_it_and_nothing_is_asked_before_frames_passed(self):
        self.assertFalse(self.ends((True, True), (-1.5, 9.0)), "withdrawn at the first asking")
        self.assertFalse(self.ends((True, False), (1.0, 9.0)), "never asked a second time")
        self.assertTrue(self.ends((False, True), (-9.0, 3.0)), "asked at the second look alone")

    def test_somebody_nearer_is_no_agreement(self):
        self.assertFalse(self.ends((True, True), (9.0, 9.0), lead=(-0.1, -0.1)))

    def test_a_true_one_is_the_person_accused(self):
        rows = np.concatenate([candidate((True, True), (3, 3)), candidate((False, False), (3, 3), probe=7)])
        self.assertEqual(second.true_ones(rows).tolist(), [True, False])
        self.assertEqual(second.alone(rows).tolist(), [True, False])


class Looks(unittest.TestCase):
    people = np.eye(4, dtype=np.float32)

    def confirm(self, frames, accused=1):
        tracks = np.array([frames], np.float32)
        passed, evidence = second.confirming(tracks, np.array([accused]), self.people, One(), 10.0, 0.012)
        return passed[0].tolist(), evidence[0]

    def test_frames_that_turn_withdraw_for_good(self):
        ann, bob = self.people[1], self.people[2]
        self.assertEqual(self.confirm([ann] * 6)[0], [True, True])
        self.assertEqual(self.confirm([bob] * 3 + [ann] * 3)[0], [False, False])
        weak = np.array([0.0, 0.4, 0.0, 0.9165], np.float32)
        self.assertEqual(self.confirm([weak] * 6)[0], [False, False], "the fourth person is nearer")

    def test_evidence_is_that_of_the_look(self):
        passed, evidence = self.confirm([self.people[1]] * 6)
        self.assertAlmostEqual(evidence[0], 14.0, places=4)
        self.assertEqual(passed, [True, True])


class Joining(unittest.TestCase):
    def test_regression_finds_what_the_classes_are_made_of(self):
        # Two Gaussian scores of equal variance: the log likelihood ratio is linear with known weights.
        random = np.random.default_rng(3)
        true = random.normal((2.0, 1.0), 1.0, (60_000, 2))
        false = random.normal((0.0, 0.0), 1.0, (60_000, 2))
        weights = second.regression(true, false)
        np.testing.assert_allclose(weights, (2.0, 1.0, -2.5), atol=0.06)
        joined = [rows @ weights[:2] + weights[2] for rows in (true, false)]
        self.assertLess(second.cllr(*joined), second.cllr(true.sum(1), false.sum(1)))

    def test_evidence_that_says_nothing_costs_one_bit(self):
        self.assertAlmostEqual(second.cllr(np.zeros(9), np.zeros(9)), 1.0)

    def test_a_larger_size_never_reaches_less(self):
        self.assertEqual(second.rising({1: 2.0, 2: 1.5, 3: 4.0}), {1: 2.0, 2: 2.0, 3: 4.0})

    def test_what_is_written_reads_back(self):
        fitted = {("a", "b"): (np.array([0.4, 0.6, -0.5]), {1: 0.5, 2: 4.25}, {1: 80, 2: 300})}
        pair = tomllib.loads(second.pairs_text("some faces", fitted, {"a": "aa", "b": "bb"}))["pair"][0]
        self.assertEqual((pair["first"], pair["second"], pair["second-weight"]), ("aa", "bb", 0.6))
        self.assertEqual([bin["inter-eye-px-min"] for bin in pair["bin"]], [heldout.BINS[1][0], heldout.BINS[2][0]])
        self.assertEqual([bin["reach-llr"] for bin in pair["bin"]], [0.5, 4.25])


class Threshold(unittest.TestCase):
    def test_a_row_that_is_not_decidable_speaks_all_the_same(self):
        table = type("T", (), {"bins": [{"inter-eye-px-min": 6.0, "frames": [row(decidable=False) | {"n": 4}]}]})
        self.assertFalse(second.line_of(table, 7.0, 5)["decidable"])
        with self.assertRaises(ValueError):
            second.line_of(table, 5.0, 5)


if __name__ == "__main__":
    unittest.main()
