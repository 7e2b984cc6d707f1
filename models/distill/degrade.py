"""What a cheap, far-away camera does to a face: one aligned 112x112 crop in, the same crop as seen at `side_px` out.

`side_px` is the side of the whole aligned chip in camera pixels; the eyes are 31 % of it apart. The order is that of a
camera: optics blur, sampling, sensor noise, exposure, compression, and the up-sampling our own aligner adds.

Everything is drawn from the generator that is passed in, so a seed repeats a view exactly. Training uses `TRAIN`,
evaluation `HELD_OUT`; their ranges of blur, noise and compression, their kernels and their up-samplers do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from . import h264
from .crops import SIDE_PX

# Five points of the 112x112 ArcFace template: left eye, right eye, nose, mouth corners (viewer's left first).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
CV_KERNELS = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST,
}
PIL_KERNELS = {
    "cubic-antialias": Image.Resampling.BICUBIC,
    "linear-antialias": Image.Resampling.BILINEAR,
    "lanczos-antialias": Image.Resampling.LANCZOS,
    "hamming-antialias": Image.Resampling.HAMMING,
}


@dataclass(frozen=True)
class Chain:
    """Ranges of one degradation. Each range list is a union of half-open intervals; probabilities are per view."""

    blur_p: float
    # Standard deviation or radius in camera pixels: optics blur scales with the sensor, not with the face.
    blur_sigma_px: tuple
    blur_kinds: tuple
    motion_px: tuple
    down: tuple
    noise_p: float
    noise_sigma: tuple
    jpeg_p: float
    jpeg_quality: tuple
    h264_p: float
    h264_crf: tuple
    tone_p: float
    gamma: tuple
    contrast: tuple
    grey_p: float
    up: tuple
    # Landmark error in camera pixels, and the part of it that even a large face has, in template pixels.
    landmark_px: float
    landmark_floor_px: float
    landmark_p: float


TRAIN = Chain(
    blur_p=0.45,
    blur_sigma_px=((0.2, 0.6), (0.9, 1.3)),
    blur_kinds=("iso", "aniso", "motion", "defocus"),
    motion_px=((1.0, 2.0), (2.6, 3.6)),
    down=(("area", 0.34), ("cubic-antialias", 0.30), ("linear-antialias", 0.14), ("lanczos-antialias", 0.08),
          ("linear", 0.08), ("nearest", 0.06)),
    noise_p=0.45,
    noise_sigma=((0.5, 4.0), (6.5, 11.0)),
    jpeg_p=0.22,
    jpeg_quality=((25, 50), (62, 96)),
    h264_p=0.18,
    h264_crf=((19, 27), (31, 37)),
    tone_p=0.3,
    gamma=((0.6, 0.9), (1.1, 1.6)),
    contrast=((0.6, 0.85), (1.1, 1.3)),
    grey_p=0.12,
    up=(("cubic", 0.65), ("linear", 0.27), ("nearest", 0.08)),
    landmark_px=0.35,
    landmark_floor_px=0.6,
    landmark_p=0.5,
)
HELD_OUT = Chain(
    blur_p=1.0,
    blur_sigma_px=((0.65, 0.85),),
    blur_kinds=("iso", "motion"),
    motion_px=((2.1, 2.5),),
    down=(("hamming-antialias", 1.0),),
    noise_p=1.0,
    noise_sigma=((4.5, 6.0),),
    jpeg_p=0.5,
    jpeg_quality=((52, 60),),
    h264_p=0.5,
    h264_crf=((28, 30),),
    tone_p=0.5,
    gamma=((0.92, 0.98), (1.02, 1.08)),
    contrast=((0.88, 0.95),),
    grey_p=0.0,
    up=(("lanczos", 1.0),),
    landmark_px=0.25,
    landmark_floor_px=0.5,
    landmark_p=1.0,
)


def draw(intervals: tuple, rng: np.random.Generator) -> float:
    """A value from a union of intervals, each as likely as it is long."""
    lengths = np.array([high - low for low, high in intervals], float)
    low, high = intervals[rng.choice(len(intervals), p=lengths / lengths.sum())]
    return float(rng.uniform(low, high))


def pick(weighted: tuple, rng: np.random.Generator) -> str:
    """A name from ((name, weight), ...)."""
    weights = np.array([w for _, w in weighted], float)
    return weighted[rng.choice(len(weighted), p=weights / weights.sum())][0]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity target-from-source of two point sets [K,2], as a 2x3 matrix."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    scale = (singular * sign).sum() / (a**2).sum()
    move = target.mean(0) - scale * turn @ source.mean(0)
    return np.hstack([scale * turn, move[:, None]]).astype(np.float32)


def jitter_landmarks(image: np.ndarray, side_px: float, chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """Aligns the crop once more by landmarks that are as wrong as a detector's are on a face of this size."""
    sigma = chain.landmark_floor_px + chain.landmark_px * SIDE_PX / side_px
    noisy = TEMPLATE + rng.normal(0.0, sigma, TEMPLATE.shape)
    matrix = similarity(noisy, TEMPLATE)
    return cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def blur_kernel(kind: str, sigma: float, motion: float, rng: np.random.Generator) -> np.ndarray:
    """A blur kernel that sums to one; `sigma` and `motion` in pixels of the picture it is applied to."""
    reach = max(sigma * 3.0, motion / 2.0, 1.0)
    half = int(np.ceil(reach))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    angle = rng.uniform(0.0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    if kind == "iso":
        kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    elif kind == "aniso":
        ratio = rng.uniform(0.35, 0.8)
        kernel = np.exp(-(along**2 + (across / ratio) ** 2) / (2 * sigma**2))
    elif kind == "motion":
        kernel = np.clip(motion / 2.0 + 0.5 - np.abs(along), 0, 1) * np.clip(1.0 - np.abs(across), 0, 1)
    elif kind == "defocus":
        kernel = np.clip(sigma * 1.8 + 0.5 - np.hypot(x, y), 0, 1)
    else:
        raise ValueError(f"unknown blur kind {kind!r}")
    return kernel / kernel.sum()


def shrink(image: np.ndarray, side_px: int, kernel: str) -> np.ndarray:
    """[112,112,3] to [side,side,3] by a named kernel."""
    if kernel in PIL_KERNELS:
        return np.asarray(Image.fromarray(image).resize((side_px, side_px), PIL_KERNELS[kernel]))
    return cv2.resize(image, (side_px, side_px), interpolation=CV_KERNELS[kernel])


def enlarge(image: np.ndarray, kernel: str) -> np.ndarray:
    """[s,s,3] to [112,112,3]; `cubic` is what the aligner does on site."""
    if image.shape[0] == SIDE_PX:
        return image
    code = cv2.INTER_LANCZOS4 if kernel == "lanczos" else CV_KERNELS[kernel]
    return cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=code)


def plain(image: np.ndarray, side_px: int, kernel: str = "area") -> np.ndarray:
    """The clean protocol of the literature: shrink by one kernel, back by bicubic. At 112 px nothing changes."""
    if side_px >= SIDE_PX:
        return image
    return enlarge(shrink(image, side_px, kernel), "cubic")


def tone(image: np.ndarray, chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """Gamma and contrast of a cheap camera's exposure control, and the grey look of infrared lamps."""
    out = image
    if rng.random() < chain.tone_p:
        levels = np.arange(256) / 255.0
        curve = levels ** draw(chain.gamma, rng)
        curve = (curve - 0.5) * draw(chain.contrast, rng) + 0.5 + rng.uniform(-0.06, 0.06)
        out = np.clip(curve * 255.0 + 0.5, 0, 255).astype(np.uint8)[out]
    if rng.random() < chain.grey_p:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return out


def add_noise(image: np.ndarray, chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise at camera resolution: Gaussian, or Poisson-like (grows with the level); sometimes without colour."""
    sigma = draw(chain.noise_sigma, rng)
    channels = 1 if rng.random() < 0.4 else 3
    grain = rng.standard_normal(image.shape[:2] + (channels,), np.float32) * sigma
    if rng.random() < 0.5:
        grain = grain * np.sqrt((image.astype(np.float32) + 8.0) / 128.0)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def compress(image: np.ndarray, chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """JPEG or H.264 loss at camera resolution, or none."""
    dice = rng.random()
    if dice < chain.jpeg_p:
        quality = int(draw(chain.jpeg_quality, rng))
        ok, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not ok:
            raise RuntimeError("JPEG encoder refused a crop")
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
    if dice < chain.jpeg_p + chain.h264_p:
        return h264.through(image, int(draw(chain.h264_crf, rng)), int(rng.integers(1, 4)), rng)
    return image


def degrade(image: np.ndarray, side_px: int, chain: Chain, rng: np.random.Generator) -> np.ndarray:
    """The whole chain; [112,112,3] RGB uint8 in and out."""
    if not 4 <= side_px <= SIDE_PX:
        raise ValueError(f"side_px is {side_px}, expected 4..{SIDE_PX}")
    out = image
    if rng.random() < chain.landmark_p:
        out = jitter_landmarks(out, side_px, chain, rng)
    if rng.random() < chain.blur_p:
        zoom = SIDE_PX / side_px
        kind = chain.blur_kinds[rng.integers(len(chain.blur_kinds))]
        sigma, motion = draw(chain.blur_sigma_px, rng) * zoom, draw(chain.motion_px, rng) * zoom
        kernel = blur_kernel(kind, sigma, motion if kind == "motion" else 0.0, rng)
        out = cv2.filter2D(out, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    out = shrink(out, side_px, pick(chain.down, rng))
    if rng.random() < chain.noise_p:
        out = add_noise(out, chain, rng)
    out = compress(tone(out, chain, rng), chain, rng)
    return enlarge(np.ascontiguousarray(out), pick(chain.up, rng))


def clean_variant(chain: Chain) -> Chain:
    """The same kernels and landmark error without blur, noise, tone and compression."""
    return replace(chain, blur_p=0.0, noise_p=0.0, jpeg_p=0.0, h264_p=0.0, tone_p=0.0, grey_p=0.0)


# Sizes of training views, [low px, high px, weight]: 35 % 16..40, 30 % 8..16, 7 % 7, the rest 40..100.
TRAIN_SIDES = ((16, 40, 0.35), (8, 16, 0.30), (7, 7, 0.07), (40, 100, 0.28))


def train_side_px(rng: np.random.Generator, smallest_px: int = 7, sides: tuple = ()) -> int:
    """Side of one training view in px: a range by its weight, log-uniform inside."""
    ranges = sides or TRAIN_SIDES
    weights = np.array([weight for _, _, weight in ranges], float)
    low, high, _ = ranges[rng.choice(len(ranges), p=weights / weights.sum())]
    side = np.exp(rng.uniform(np.log(low), np.log(high)))
    return max(int(round(float(side))), smallest_px)
