"""Each term is zero where it should be, and pulls the right way."""

import torch
import torch.nn.functional as F

from distill import losses


def unit(*shape):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(4)), dim=1)


def test_feature_is_zero_at_the_target_and_two_opposite():
    t = unit(5, 8)
    assert losses.feature(t, t).item() < 1e-6
    assert abs(losses.feature(-t, t).item() - 2.0) < 1e-5


def relation(z, t, bank, own):
    return losses.relation(z, bank, t @ bank.T / 0.05, own, 0.05)


def test_relation_is_zero_at_the_target_and_ignores_the_own_row():
    bank = unit(20, 8)
    t = bank[:4]
    own = torch.arange(4)
    assert abs(relation(t, t, bank, own).item()) < 1e-5
    moved = bank.clone()
    moved[:4] = -moved[:4]
    z = unit(9, 8)[5:9]
    rows = [relation(z[i : i + 1], t[i : i + 1], bank, own[i : i + 1]) for i in range(4)]
    swapped = bank.clone()
    for i in range(4):
        swapped = bank.clone()
        swapped[i] = moved[i]
        again = relation(z[i : i + 1], t[i : i + 1], swapped, own[i : i + 1])
        assert torch.allclose(rows[i], again, atol=1e-5)


def test_map_terms_are_zero_for_equal_maps_and_accept_other_sizes():
    maps = [torch.rand(2, 6, s, s) for s in (28, 14, 7)]
    assert losses.attention(maps, maps).item() < 1e-5
    assert losses.wavelet(maps, maps).item() < 1e-5
    teacher = [torch.rand(2, 9, s, s) for s in (32, 16, 8)]
    assert 0.0 < losses.attention(maps, teacher).item() < 1.0
    assert 0.0 < losses.wavelet(maps, teacher).item() < 1.0


def test_wavelet_term_does_not_see_the_high_bands():
    quiet = [torch.ones(1, 1, 28, 28)]
    checker = torch.ones(28, 28)
    checker[::2, ::2], checker[1::2, 1::2] = 1.5, 1.5
    checker[::2, 1::2], checker[1::2, ::2] = 0.5, 0.5
    noisy = [checker.view(1, 1, 28, 28)]
    assert losses.wavelet(noisy, quiet).item() < 1e-5
    assert losses.attention(noisy, quiet).item() > 0.05


def test_consistency_moves_the_degraded_view_only():
    z = torch.randn(3, 8, requires_grad=True)
    clean = torch.randn(3, 8, requires_grad=True)
    losses.consistency(F.normalize(z), F.normalize(clean)).backward()
    assert z.grad.abs().sum() > 0 and clean.grad is None


def test_teacher_centres_separate_people_and_skip_unlabelled_rows():
    centres = losses.TeacherCentres(3, 8)
    t, labels = unit(4, 8), torch.tensor([0, 1, -1, 2])
    centres.update(t, t, labels)
    assert centres.seen.all()
    assert centres.loss(t, labels) < centres.loss(-t, labels)
    assert centres.loss(t, torch.full((4,), -1)).item() == 0.0
