"""Reads the composed clips back, as a receiver sees them after H.264."""

import json
import subprocess

import numpy as np
from PIL import Image

from compose import CLIPS


def truth(place):
    return json.loads((CLIPS / f"{place}.json").read_text())


def frames(place, every=1):
    """Yields (frame number, RGB uint8 array) of every n-th frame."""
    about = truth(place)
    width, height = about["width"], about["height"]
    line = (
        f"filesrc location={CLIPS / about['clip']} ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! videoconvert"
        " ! video/x-raw,format=I420 ! fdsink fd=1"
    )
    child = subprocess.Popen(["gst-launch-1.0", "-q", *line.split()], stdout=subprocess.PIPE)
    size = width * height * 3 // 2
    number = 0
    while len(data := child.stdout.read(size)) == size:
        if number % every == 0:
            yield number, rgb(np.frombuffer(data, np.uint8), width, height)
        number += 1
    child.wait()


def rgb(data, width, height):
    """BT.601 limited range, chroma interpolated."""
    luma = data[: width * height].reshape(height, width).astype(np.float32)
    chroma = data[width * height :].reshape(2, height // 2, width // 2)
    u, v = (np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR), np.float32) - 128 for p in chroma)
    y = (luma - 16) * 1.164
    return np.clip(np.dstack([y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u]), 0, 255).astype(np.uint8)
