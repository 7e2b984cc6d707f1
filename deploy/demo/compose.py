"""Composes the two clips of the demonstration from the photographs that deploy/setup fetched. Started by `compose`.

    compose.py             make .sekisho/demo/clips/{gate,yard}.mp4 and .json unless they are there already
    compose.py --again     make them in any case

The same photographs and scripts always give the same pictures: every random number has a fixed seed.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import people
import scene

CLIPS = people.PHOTOS.parent / "clips"
FPS = 15
# Metres from the floor to the eyes.
EYES_M = {"collins": 1.55, "hopper": 1.52, "obama": 1.70, "biden": 1.68, "einstein": 1.60, "kramers": 1.66, "piccard": 1.71}
ENROLLED = {
    "collins": {"name": "Eileen Collins", "photo": "astronaut.png", "shown": "the same photograph"},
    "hopper": {"name": "Grace Hopper", "photo": "grace_hopper.jpg", "shown": "the same photograph"},
    "obama": {"name": "Barack Obama", "photo": "obama.jpg", "shown": "another photograph, obama3.jpg", "list": "watch"},
}

# Who comes when and along which path: (seconds after `start`, metres to the right, metres ahead). A path that ends at
# 0.75 m passes under the camera. `hidden_from_px`: columns from there on lie behind the edge of a wall.
# `confirmed`: what the demonstration expects, None where either is right.
VISITS = {
    "gate": [
        {"who": "collins", "start": 1.0, "path": [(0, 0.1, 10.4), (4.4, 0.35, 5.9), (7.2, 0.3, 3.2), (9.0, 0.28, 2.4), (10.2, 0.28, 2.3), (12.2, 0.3, 1.2), (13.0, 0.3, 0.75)]},
        {"who": "obama", "start": 12.0, "path": [(0, 0.2, 10.4), (4.6, 0.75, 5.6), (7.4, 0.0, 3.3), (9.0, -0.1, 2.6), (10.2, -0.1, 2.5), (12.2, -0.35, 1.2), (13.0, -0.35, 0.75)]},
        {"who": "biden", "start": 14.6, "path": [(0, -0.2, 10.4), (4.6, -0.8, 6.0), (7.8, 0.1, 3.4), (9.4, 0.25, 2.6), (10.4, 0.25, 2.5), (12.4, 0.45, 1.2), (13.2, 0.45, 0.75)]},
        {"who": "hopper", "start": 28.6, "path": [(0, 0.0, 10.4), (4.5, 0.3, 6.2), (6.3, 2.4, 5.7)], "hidden_from_px": 586},
        {"who": "biden", "start": 35.6, "path": [(0, 0.0, 10.4), (4.6, -0.4, 5.9), (7.4, -0.45, 3.2), (9.0, -0.45, 2.6), (10.2, -0.45, 2.5), (12.0, -0.5, 1.2), (12.8, -0.5, 0.75)]},
    ],
    "yard": [
        {"who": "einstein", "start": 1.0, "path": [(0, -4.9, 9.5), (4.5, -1.2, 6.2), (7.5, 0.1, 3.6), (9.0, 0.2, 2.9), (10.2, 0.2, 2.8), (12.4, 2.1, 2.3)]},
        {"who": "hopper", "start": 13.0, "path": [(0, 4.9, 9.5), (4.0, 1.5, 6.3), (6.2, 0.1, 2.9), (8.0, 0.0, 2.25), (10.2, 0.0, 2.1), (12.2, -0.2, 1.2), (13.0, -0.2, 0.75)]},
        {"who": "kramers", "start": 25.4, "path": [(0, -4.9, 9.8), (4.5, -1.0, 6.4), (8.0, 0.9, 3.4), (9.0, 1.0, 3.2), (11.2, 2.8, 2.7)]},
        {"who": "collins", "start": 26.6, "path": [(0, 4.9, 9.8), (4.3, 1.3, 6.4), (7.2, -0.2, 3.3), (9.0, -0.3, 2.4), (10.2, -0.3, 2.3), (12.2, -0.3, 1.2), (13.0, -0.3, 0.75)]},
        {"who": "piccard", "start": 40.0, "path": [(0, -5.1, 8.4), (8.0, 5.1, 8.0)]},
        {"who": "obama", "start": 40.8, "path": [(0, 5.1, 7.4), (8.0, -5.1, 7.0)]},
    ],
}
# How each camera degrades what it sees. blur: Gaussian of lens and sensor; noise: standard deviation in grey levels;
# exposure: gain before gamma; shutter: how long each frame is exposed.
CAMERAS = {
    "gate": {"seconds": 50, "blur_px": 0.55, "noise": 2.5, "exposure": 1.12, "gamma": 1.05, "shutter_s": 1 / 100, "kbit_s": 700, "seed": 21, "grey": False},
    "yard": {"seconds": 50, "blur_px": 0.6, "noise": 4.0, "exposure": 1.0, "gamma": 0.82, "shutter_s": 1 / 60, "kbit_s": 600, "seed": 22, "grey": True},
}


def place_of(visit, second):
    """(x, z, whether walking) in metres, or None before and after the visit."""
    since = second - visit["start"]
    times = [point[0] for point in visit["path"]]
    if not 0 <= since <= times[-1]:
        return None
    x = float(np.interp(since, times, [point[1] for point in visit["path"]]))
    z = float(np.interp(since, times, [point[2] for point in visit["path"]]))
    return x, z, since


def eyes_of(visit, second):
    """Where the middle between the eyes is, and the scale: (x, y, px between the eyes, z, seconds), or None."""
    place = place_of(visit, second)
    if place is None:
        return None
    x, z, since = place
    eyes_m = EYES_M[visit["who"]]
    # A step takes half a second; the head bobs 1.5 cm and sways 1 cm.
    bob = 0.015 * np.cos(4 * np.pi * since)
    sway = 0.010 * np.sin(2 * np.pi * since)
    px_per_m = scene.FOCAL_PX / z
    return (
        scene.WIDTH / 2 + (x + sway) * px_per_m,
        scene.HORIZON_PX + (scene.CAMERA_HEIGHT_M - eyes_m + bob) * px_per_m,
        eyes_m / people.FEET * px_per_m,
        z,
        since,
    )


def draw_shadow(picture, visit, eyes):
    """A soft dark patch under the feet."""
    x, y, unit, _, _ = eyes
    feet = y + people.FEET * unit
    left, right = int(max(x - 5 * unit, 0)), int(min(x + 5 * unit, scene.WIDTH))
    top, bottom = int(max(feet - 1.6 * unit, 0)), int(min(feet + 1.6 * unit, scene.HEIGHT))
    if left >= right or top >= bottom or right > visit.get("hidden_from_px", scene.WIDTH):
        return
    columns, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    patch = 0.4 * np.exp(-(((columns - x) / (2.6 * unit)) ** 2) - ((rows - feet) / (0.7 * unit)) ** 2)
    picture[top:bottom, left:right] *= (1 - patch[:, :, None]).astype(np.float32)


def draw_person(picture, person, visit, place, eyes, grey):
    """Lays the cut-out over `picture` at sub-pixel position and scale."""
    x, y, unit, z, since = eyes
    cutout, cutout_unit = person.drawn_at(unit, int(since * people.PHASES))
    scale = unit / cutout_unit
    corner_x, corner_y = x + people.LEFT * unit, y + people.TOP * unit
    left, top = int(np.ceil(max(corner_x, 0))), int(np.ceil(max(corner_y, 0)))
    right = int(np.floor(min(corner_x + cutout.width * scale, visit.get("hidden_from_px", scene.WIDTH))))
    bottom = int(np.floor(min(corner_y + cutout.height * scale, scene.HEIGHT)))
    if right <= left or bottom <= top:
        return
    box = [(left - corner_x) / scale, (top - corner_y) / scale, (right - corner_x) / scale, (bottom - corner_y) / scale]
    box[2], box[3] = min(box[2], cutout.width), min(box[3], cutout.height)
    layer = cutout.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=tuple(box))
    layer = np.asarray(layer, np.float32)
    colour = layer[:, :, :3]
    if grey:
        # Infrared light evens out skin and cloth.
        colour = np.repeat((colour @ np.array([0.42, 0.38, 0.20], np.float32))[:, :, None], 3, axis=2)
        colour = 22 + 0.80 * colour
    shade = scene.shade_of(place, z)
    fade = min(1.0, since / 0.5) if place == "gate" else 1.0
    alpha = layer[:, :, 3:] / 255 * fade
    under = picture[top:bottom, left:right]
    picture[top:bottom, left:right] = under * (1 - alpha) + colour * shade * alpha


def raw_frame(place, background, cast, second):
    """The scene at one moment: float RGB, no camera yet."""
    picture = background.copy()
    present = [(eyes, visit) for visit in VISITS[place] if (eyes := eyes_of(visit, second)) is not None]
    present.sort(key=lambda item: -item[0][3])
    for eyes, visit in present:
        draw_shadow(picture, visit, eyes)
    for eyes, visit in present:
        draw_person(picture, cast[visit["who"]], visit, place, eyes, CAMERAS[place]["grey"])
    return picture, bool(present)


def stamp_text(place, second):
    """The clock that cameras write into the picture, as a white-on-black mask."""
    text = f"{place.upper()}  2024-05-14 {'08:12' if place == 'gate' else '21:47'}:{int(second):02d}"
    mask = Image.new("L", (220, 14), 0)
    ImageDraw.Draw(mask).text((2, 1), text, fill=255, font=ImageFont.load_default_imagefont())
    return np.asarray(mask, np.float32) / 255


def sensed(picture, place, second, random):
    """What the camera makes of it: lens blur, vignetting, exposure, gamma, noise, clock; as I420 bytes."""
    camera = CAMERAS[place]
    picture = picture * scene.hood(scene.WIDTH, scene.HEIGHT) * camera["exposure"]
    picture = 255 * (np.clip(picture, 0, 255) / 255) ** camera["gamma"]
    red, green, blue = picture[:, :, 0], picture[:, :, 1], picture[:, :, 2]
    luma = scene.blur_plane(0.299 * red + 0.587 * green + 0.114 * blue, camera["blur_px"])
    # Photon noise grows with light; gain noise does not.
    strength = camera["noise"] * (0.6 + 0.4 * np.sqrt(np.clip(luma, 0, 255) / 128))
    luma = luma + strength * random.standard_normal(luma.shape, dtype=np.float32)
    clock = stamp_text(place, second)
    rows, columns = slice(6, 6 + clock.shape[0]), slice(8, 8 + clock.shape[1])
    halo = np.maximum(np.maximum(np.roll(clock, 1, 0), np.roll(clock, -1, 0)), np.maximum(np.roll(clock, 1, 1), np.roll(clock, -1, 1)))
    luma[rows, columns] = luma[rows, columns] * (1 - halo) * (1 - clock) + 235 * clock
    half = (scene.HEIGHT // 2, 2, scene.WIDTH // 2, 2)
    if camera["grey"]:
        u = v = np.full((scene.HEIGHT // 2, scene.WIDTH // 2), 128, np.uint8)
    else:
        mean = [plane.reshape(half).mean((1, 3)) for plane in (red, green, blue)]
        grain = random.standard_normal((2, *mean[0].shape), dtype=np.float32) * camera["noise"] * 0.35
        u = -0.148 * mean[0] - 0.291 * mean[1] + 0.439 * mean[2] + 128 + grain[0]
        v = 0.439 * mean[0] - 0.368 * mean[1] - 0.071 * mean[2] + 128 + grain[1]
    y = 16 + luma * 219 / 255
    return b"".join(np.clip(plane + 0.5, 16, 240).astype(np.uint8).tobytes() for plane in (y, u, v))


def encoder(target, kbit_s):
    """GStreamer as a child process: I420 on its standard input, H.264 in MP4 out, the way a small camera encodes."""
    caps = f"format=i420 width={scene.WIDTH} height={scene.HEIGHT} framerate={FPS}/1 colorimetry=bt601"
    line = (
        f"fdsrc fd=0 ! rawvideoparse {caps} ! x264enc bitrate={kbit_s} speed-preset=veryfast bframes=0 threads=1"
        f" key-int-max={FPS * 2} vbv-buf-capacity=1000 ! video/x-h264,profile=main ! h264parse ! mp4mux faststart=true"
        f" ! filesink location={target}"
    )
    return subprocess.Popen(["gst-launch-1.0", "-q", *line.split()], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def compose(place, cast):
    """Writes one clip and its ground truth."""
    camera = CAMERAS[place]
    random = np.random.default_rng(camera["seed"])
    background = scene.corridor() if place == "gate" else scene.courtyard()
    part = CLIPS / f"{place}.part.mp4"
    frames = camera["seconds"] * FPS
    child = encoder(part, camera["kbit_s"])
    for frame in range(frames):
        second = frame / FPS
        picture, moving = raw_frame(place, background, cast, second)
        if moving:  # the shutter is open for a while: motion blur
            picture = (picture + raw_frame(place, background, cast, second + camera["shutter_s"])[0]) / 2
        child.stdin.write(sensed(picture, place, second, random))
    child.stdin.close()
    if child.wait() != 0:
        sys.exit(f"{place}: GStreamer could not encode the clip; are gstreamer1.0-plugins-ugly and -bad installed?")
    forget_when(part)
    truth = CLIPS / f"{place}.json"
    truth.write_text(json.dumps(truth_of(place, frames), indent=1) + "\n")
    os.replace(part, CLIPS / f"{place}.mp4")


def forget_when(path):
    """Zeroes the times of creation in the MP4 header, so that the same input gives the same file."""
    data = bytearray(path.read_bytes())
    end = data.index(b"mdat")
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.find(box, 0, end)
        while at >= 0:
            # Version and flags, then creation and modification time; 4 bytes each in version 0.
            data[at + 8 : at + 16] = bytes(8)
            at = data.find(box, at + 4, end)
    path.write_bytes(data)


def truth_of(place, frames):
    """Who is in the clip, when, where and how large. `samples`: [frame, eyes' middle x, y, px between the eyes]."""
    visits = []
    for visit in VISITS[place]:
        samples = []
        for frame in range(frames):
            eyes = eyes_of(visit, frame / FPS)
            right = visit.get("hidden_from_px", scene.WIDTH)
            if eyes and 0 <= eyes[0] < right and 0 <= eyes[1] < scene.HEIGHT:
                samples.append([frame, *(round(value, 1) for value in eyes[:3])])
        widest = max(sample[3] for sample in samples)
        enrolled = visit["who"] in ENROLLED
        visits.append(
            {
                "who": visit["who"],
                "enrolled": enrolled,
                "first-frame": samples[0][0],
                "last-frame": samples[-1][0],
                "inter-eye-px-max": widest,
                # Below about 8 px the picture carries too little: not decidable is a right answer there.
                "expect": "confirmed" if enrolled and widest >= 12 else "not-confirmed" if not enrolled else "either",
                "samples": samples[:: max(1, FPS // 5)],
            }
        )
    return {"clip": f"{place}.mp4", "width": scene.WIDTH, "height": scene.HEIGHT, "fps": FPS, "frames": frames,
            "enrolled": ENROLLED, "visits": visits}


def made_from():
    """Hash over everything the clips depend on."""
    total = hashlib.sha256()
    here = pathlib.Path(__file__).parent
    used = [here / name for name in ("compose.py", "people.py", "scene.py")]
    used += sorted({people.PHOTOS / about["photo"] for about in people.PEOPLE.values()})
    for path in used:
        if not path.exists():
            sys.exit(f"{path} is missing; run deploy/setup first")
        total.update(path.read_bytes())
    return total.hexdigest()


def main(arguments):
    wanted = made_from()
    stamp = CLIPS / "made-from"
    if stamp.exists() and stamp.read_text() == wanted and "--again" not in arguments:
        if all((CLIPS / f"{place}{end}").exists() for place in VISITS for end in (".mp4", ".json")):
            print("Demonstration clips: in place")
            return
    CLIPS.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    cast = {name: people.Person(name) for name in people.PEOPLE}
    for place, camera in CAMERAS.items():
        print(f"Demonstration clip {place}: composing {camera['seconds']} s ...", flush=True)
        compose(place, cast)
    stamp.write_text(wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
