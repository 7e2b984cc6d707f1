"""The degradation model: repeatable, in range, disjoint between training and evaluation."""

import numpy as np
import pytest

from distill import crops, degrade, h264


def face(seed: int = 1) -> np.ndarray:
    import cv2

    rough = np.random.default_rng(seed).integers(0, 256, (28, 28, 3), np.uint8)
    return cv2.resize(rough, (112, 112), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("chain", [degrade.TRAIN, degrade.HELD_OUT])
def test_a_seed_repeats_a_view(chain):
    for side in (7, 8, 16, 33, 100):
        first = degrade.degrade(face(), side, chain, np.random.default_rng(side))
        again = degrade.degrade(face(), side, chain, np.random.default_rng(side))
        other = degrade.degrade(face(), side, chain, np.random.default_rng(side + 1))
        assert first.shape == (112, 112, 3) and first.dtype == np.uint8
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["blur_sigma_px", "motion_px", "noise_sigma", "jpeg_quality", "h264_crf", "gamma", "contrast"])
def test_held_out_ranges_do_not_touch_training_ranges(name):
    for low, high in getattr(degrade.HELD_OUT, name):
        for other_low, other_high in getattr(degrade.TRAIN, name):
            assert high <= other_low or other_high <= low


def test_held_out_kernels_are_not_trained_with():
    assert not {n for n, _ in degrade.HELD_OUT.down} & {n for n, _ in degrade.TRAIN.down}
    assert not {n for n, _ in degrade.HELD_OUT.up} & {n for n, _ in degrade.TRAIN.up}


def test_drawn_values_stay_in_their_intervals():
    rng = np.random.default_rng(0)
    for _ in range(500):
        value = degrade.draw(degrade.TRAIN.noise_sigma, rng)
        assert any(low <= value <= high for low, high in degrade.TRAIN.noise_sigma)


def test_training_sizes_cover_7_to_100_px():
    rng = np.random.default_rng(0)
    sides = np.array([degrade.train_side_px(rng) for _ in range(4000)])
    assert sides.min() == 7 and 95 <= sides.max() <= 100
    assert 0.2 < (sides >= 40).mean() < 0.4


def test_similarity_finds_turn_scale_and_shift():
    angle, scale, move = 0.2, 1.3, np.array([4.0, -7.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = scale * degrade.TEMPLATE @ turn.T + move
    found = degrade.similarity(degrade.TEMPLATE, target)
    assert np.allclose(found, np.hstack([scale * turn, move[:, None]]), atol=1e-3)


@pytest.mark.parametrize("kind", ["iso", "aniso", "motion", "defocus"])
def test_blur_keeps_the_mean(kind):
    kernel = degrade.blur_kernel(kind, 2.0, 5.0, np.random.default_rng(0))
    assert kernel.sum() == pytest.approx(1.0) and (kernel >= 0).all()


def test_unknown_blur_and_silly_sizes_are_refused():
    with pytest.raises(ValueError, match="unknown blur"):
        degrade.blur_kernel("sideways", 1.0, 1.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="side_px"):
        degrade.degrade(face(), 2, degrade.TRAIN, np.random.default_rng(0))


def test_h264_loss_grows_with_crf():
    if not h264.available():
        pytest.skip("SKIPPED: this PyAV build has no libx264")
    picture = face()[:40, :40]
    loss = []
    for crf in (16, 40):
        coded = h264.through(picture, crf, 3, np.random.default_rng(2))
        assert coded.shape == picture.shape
        loss.append(np.abs(coded.astype(float) - picture).mean())
    assert 0.0 < loss[0] < loss[1]


def test_black_border_is_found_and_filled_and_dark_hair_inside_is_not():
    image = np.full((112, 112, 3), 120, np.uint8)
    image[:20] = 0
    image[60:70, 50:60] = 0
    mask = crops.border_mask(image)
    assert mask[:20].all() and not mask[60:70, 50:60].any()
    filled = crops.fill_border(image, mask, "replicate", np.random.default_rng(0))
    assert (filled[:20] == 120).all() and (filled[60:70, 50:60] == 0).all()
    assert crops.fill_border(image, mask, "keep", np.random.default_rng(0)) is image
