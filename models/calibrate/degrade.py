"""What an old camera does to a face: from an aligned 112x112 crop down to a few pixels and back.

Frames of one track share lens, light, sensor and encoder; they differ in sub-pixel position, size, noise and where the
landmarks fell. The same photograph is behind all of them, so pose and expression do not vary: fused scores measured
this way gain only from noise that averages out, less than a real track can gain.
"""

import io

import numpy as np
from PIL import Image

CROP_PX = 112
# Distance between the eyes in an aligned crop (ArcFace template).
CROP_INTER_EYE_PX = 35.2377
KERNELS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.HAMMING, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


class Track:
    """Draws what is common to the frames of one track, then makes frames."""

    def __init__(self, random, inter_eye_px):
        self.random = random
        self.inter_eye_px = inter_eye_px
        # Gaussian blur of lens and sensor in source pixels; 0.35 is nearly none, 1.1 clearly out of focus.
        self.blur_px = random.uniform(0.35, 1.1)
        # Motion during the exposure, source pixels, and its direction.
        self.motion_px = random.exponential(0.5) if random.random() < 0.5 else 0.0
        self.motion_rad = random.uniform(0, np.pi)
        self.kernel = KERNELS[random.integers(len(KERNELS))]
        self.noise = random.uniform(1.0, 7.0)
        self.jpeg_quality = int(random.integers(35, 90))
        self.gamma = np.exp(random.normal(0, 0.18))
        self.gain = np.exp(random.normal(0, 0.10))
        self.offset = random.normal(0, 6)

    def frame(self, crop):
        """One degraded frame of `crop` (112x112 RGB image), aligned again to 112x112."""
        random = self.random
        inter_eye = self.inter_eye_px * np.exp(random.normal(0, 0.05))
        scale = min(1.0, inter_eye / CROP_INTER_EYE_PX)
        small = self._sampled(self._blurred(crop, scale), scale)
        pixels = np.asarray(small, np.float32)
        pixels = 255 * np.clip(pixels / 255, 0, 1) ** self.gamma * self.gain + self.offset
        luma_noise = random.normal(0, self.noise, pixels.shape[:2])
        colour_noise = random.normal(0, 0.4 * self.noise, pixels.shape)
        pixels = np.clip(pixels + luma_noise[:, :, None] + colour_noise, 0, 255).astype(np.uint8)
        return self._aligned_again(self._compressed(pixels), scale)

    def _blurred(self, crop, scale):
        """Blur of lens and motion, given in source pixels, applied before sampling. By the transform of Fourier."""
        pixels = np.asarray(crop, np.float32)
        pixels = np.pad(pixels, ((16, 16), (16, 16), (0, 0)), mode="edge")
        rows = np.fft.fftfreq(pixels.shape[0])[:, None]
        columns = np.fft.rfftfreq(pixels.shape[1])[None, :]
        sigma = self.blur_px / scale
        transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (rows**2 + columns**2))
        along = (columns * np.cos(self.motion_rad) + rows * np.sin(self.motion_rad)) * self.motion_px / scale
        spectrum = np.fft.rfft2(pixels, axes=(0, 1)) * (transfer * np.sinc(along))[:, :, None]
        blurred = np.fft.irfft2(spectrum, s=pixels.shape[:2], axes=(0, 1))[16:-16, 16:-16]
        return Image.fromarray(np.clip(blurred + 0.5, 0, 255).astype(np.uint8))

    def _sampled(self, crop, scale):
        """Down-sampled at a random sub-pixel position, with one source pixel of surroundings on each side."""
        if scale >= 1.0:
            self.corner = np.zeros(2)
            return crop
        side = int(np.ceil(CROP_PX * scale)) + 2
        step = 1 / scale
        pad = int(np.ceil(3 * step))
        wide = Image.fromarray(np.pad(np.asarray(crop), ((pad, pad), (pad, pad), (0, 0)), mode="edge"))
        self.corner = -self.random.uniform(0.5, 1.5, 2) * step
        left, top = self.corner + pad
        return wide.resize((side, side), self.kernel, box=(left, top, left + side * step, top + side * step))

    def _compressed(self, pixels):
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=self.jpeg_quality)
        return Image.open(data).convert("RGB")

    def _aligned_again(self, small, scale):
        """Up to 112x112, cubically as the program does it, through a similarity that errs as landmarks do: about 3 % of the
        eye distance and 0.15 px."""
        random = self.random
        error_px = np.hypot(0.03 * CROP_INTER_EYE_PX, 0.15 / scale)  # of one landmark, in crop pixels
        shift = random.normal(0, error_px / np.sqrt(5), 2)
        spread = 51.0  # root of the summed squared distances of the five points from their middle, crop pixels
        turn, zoom = random.normal(0, error_px / spread, 2)
        a, b = (1 + zoom) * np.cos(turn), (1 + zoom) * np.sin(turn)
        middle = np.array([56.0, 72.0])
        # crop point p comes from clean crop point m + R (p - m) + shift, and that from source pixel (p - corner) * scale.
        rotation = np.array([[a, -b], [b, a]])
        origin = middle + shift - rotation @ middle
        # What lies beyond the sampled square is the edge repeated, not black, which no camera would show there.
        wide = Image.fromarray(np.pad(np.asarray(small), ((8, 8), (8, 8), (0, 0)), mode="edge"))
        linear, constant = rotation * scale, (origin - self.corner) * scale + 8
        matrix = (linear[0, 0], linear[0, 1], constant[0], linear[1, 0], linear[1, 1], constant[1])
        return wide.transform((CROP_PX, CROP_PX), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
