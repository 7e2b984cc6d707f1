"""Real H.264 loss: a small picture is pasted into a moving frame, encoded by libx264 and decoded again."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np

# libx264 works in 16x16 macroblocks; a face never fills the whole coded frame of a camera.
BLOCK_PX = 16
MARGIN_PX_MIN = 16


def available() -> bool:
    """True when this build of PyAV can encode H.264."""
    try:
        av.CodecContext.create("libx264", "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def through(picture_rgb: np.ndarray, crf: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """One picture [h,w,3] RGB after `frames` coded frames (the first is a key frame, the rest predicted) at `crf`.

    The picture sits at a random place of a frame filled with its own mirrored surroundings, and drifts by up to one
    pixel a frame, so that prediction residue is coded as it is for a walking person. Returns the last frame's picture.
    """
    height, width = picture_rgb.shape[:2]
    rows = _blocks(height + 2 * MARGIN_PX_MIN)
    cols = _blocks(width + 2 * MARGIN_PX_MIN)
    top = int(rng.integers(0, rows - height - frames)) + frames // 2
    left = int(rng.integers(0, cols - width - frames)) + frames // 2
    drift = rng.integers(-1, 2, 2)
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = cols, rows, "yuv420p"
    codec.time_base = Fraction(1, 25)
    codec.thread_count = 1
    codec.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf), "g": "50", "threads": "1"}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoded, packets = [], []
    for number in range(frames):
        y, x = top + drift[0] * number // 2, left + drift[1] * number // 2
        y, x = int(np.clip(y, 0, rows - height)), int(np.clip(x, 0, cols - width))
        below, right = rows - height - y, cols - width - x
        canvas = cv2.copyMakeBorder(picture_rgb, y, below, x, right, cv2.BORDER_REFLECT)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(canvas), format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += codec.encode(frame)
    packets += codec.encode(None)
    for packet in packets:
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    if not decoded:
        raise RuntimeError("H.264 decoder gave no frame")
    picture = decoded[-1].to_ndarray(format="rgb24")
    return picture[y : y + height, x : x + width]


def _blocks(size_px: int) -> int:
    return -(-size_px // BLOCK_PX) * BLOCK_PX
