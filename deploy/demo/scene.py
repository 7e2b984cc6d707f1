"""The two places: what an empty corridor and an empty courtyard look like to a camera under the ceiling.

World in metres, camera at the origin, x right, y down (the floor is `camera_height_m` below), z ahead. The camera looks
level through a shifted lens, so upright things stay upright and a pixel is (320 + f x / z, horizon + f y / z).
"""

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 640, 360
FOCAL_PX = 700.0
HORIZON_PX = 20.0
CAMERA_HEIGHT_M = 2.29
OVERSAMPLE = 2


def rays():
    """Direction of every (oversampled) pixel, z = 1."""
    columns = (np.arange(WIDTH * OVERSAMPLE) + 0.5) / OVERSAMPLE
    rows = (np.arange(HEIGHT * OVERSAMPLE) + 0.5) / OVERSAMPLE
    return np.meshgrid((columns - WIDTH / 2) / FOCAL_PX, (rows - HORIZON_PX) / FOCAL_PX)


def cells(u, v, size_u, size_v, random, spread):
    """A shade for each tile of size_u x size_v, always the same for the same tile."""
    table = random.normal(1, spread, (97, 89))
    return table[np.floor(u / size_u).astype(int) % 97, np.floor(v / size_v).astype(int) % 89]


def joints(u, size, width):
    """1 within `width` of a joint between tiles, else 0."""
    inside = np.mod(u, size)
    return ((inside < width) | (inside > size - width)).astype(float)


def clouds(random, rough):
    """Smooth stains over the picture, about 1 +- rough."""
    total = np.zeros((HEIGHT * OVERSAMPLE, WIDTH * OVERSAMPLE), np.float32)
    for size in (4, 12, 40):
        grid = random.normal(0, rough, (size, size * 2)).astype(np.float32)
        total += np.asarray(Image.fromarray(grid).resize(total.shape[::-1], Image.Resampling.BICUBIC))
    return 1 + total / 2


def finished(colour, random):
    """Down to picture size, with the fine grain of real surfaces."""
    colour = colour * clouds(random, 0.05)[:, :, None] * random.normal(1, 0.05, colour.shape[:2])[:, :, None]
    shape = (HEIGHT, OVERSAMPLE, WIDTH, OVERSAMPLE, 3)
    return np.clip(colour, 0, 255).reshape(shape).mean((1, 3)).astype(np.float32)


def corridor():
    """Tiled floor, two-tone walls with doors, a lit doorway at the end, 10 m away. RGB float32 [360, 640, 3]."""
    random = np.random.default_rng(11)
    x, y = rays()
    half, end = 1.9, 10.0
    colour = np.zeros((*x.shape, 3))
    z_floor = np.where(y > 1e-3, CAMERA_HEIGHT_M / np.maximum(y, 1e-3), np.inf)
    z_ceiling = np.where(y < -1e-4, -0.35 / np.minimum(y, -1e-4), np.inf)
    z_wall = half / np.maximum(np.abs(x), 1e-6)
    z = np.minimum(np.minimum(z_floor, z_ceiling), np.minimum(z_wall, end))

    floor = z == z_floor
    u, v = x * z, z
    tile = 0.93 * cells(u + 9, v, 0.45, 0.45, random, 0.035) - 0.22 * np.maximum(joints(u, 0.45, 0.012), joints(v, 0.45, 0.016))
    gleam = 0.30 * np.exp(-((x / 0.10) ** 2)) * np.clip((z - 2) / 6, 0, 1)
    colour[floor] = ((tile + gleam)[:, :, None] * [142, 138, 128])[floor]

    wall = z == z_wall
    up = CAMERA_HEIGHT_M - y * z
    paint = np.where((up < 1.1)[:, :, None], [112.0, 126.0, 124.0], [176.0, 174.0, 162.0])
    paint = np.where((np.abs(up - 1.1) < 0.03)[:, :, None], 90.0, paint)
    paint = np.where((up < 0.1)[:, :, None], 62.0, paint)
    left = x < 0
    for side, begin in ((left, 3.9), (~left, 7.4), (left, 7.0)):
        door = side & (z > begin) & (z < begin + 0.95) & (up < 2.05)
        frame = side & (z > begin - 0.08) & (z < begin + 1.03) & (up < 2.12) & ~door
        paint = np.where(door[:, :, None], [108.0, 86.0, 66.0], paint)
        paint = np.where(frame[:, :, None], [72.0, 62.0, 54.0], paint)
        handle = door & (np.abs(up - 1.02) < 0.035) & (z < begin + 0.16)
        paint = np.where(handle[:, :, None], 195.0, paint)
    # The side passage into which people turn off to the right.
    passage = ~left & (z > SIDE_PASSAGE_M[0]) & (z < SIDE_PASSAGE_M[1])
    paint = np.where(passage[:, :, None], [34.0, 34.0, 36.0], paint)
    board = left & (z > 5.5) & (z < 6.6) & (up > 1.25) & (up < 1.95)
    paint = np.where(board[:, :, None], [156.0, 128.0, 92.0], paint)
    for low, high, shade in ((1.35, 1.6, 222.0), (1.66, 1.88, 205.0)):
        sheet = board & (up > low) & (up < high) & (np.mod(z, 0.28) < 0.19)
        paint = np.where(sheet[:, :, None], shade, paint)
    colour[wall] = paint[wall]

    back = z == end
    colour[back] = [150, 148, 140]
    doorway = back & (np.abs(x * z) < DOORWAY_HALF_M) & (up < 2.15)
    colour[doorway] = [52, 55, 60]
    glass = doorway & (up > 0.2)
    colour[glass] = (np.array([66, 72, 80]) + 26 * clouds(random, 0.5)[:, :, None])[glass]
    colour[z == z_ceiling] = [168, 168, 164]

    lamps = 0.62 + 0.42 * np.exp(-((np.mod(z + 0.6, 3.2) - 1.6) ** 2) / 0.9)
    far = np.clip(1.06 - 0.028 * z, 0.6, 1.1)
    return finished(colour * (lamps * far)[:, :, None], random)


DOORWAY_HALF_M = 0.75
SIDE_PASSAGE_M = (5.0, 6.3)


def courtyard():
    """Asphalt and a brick front 13 m away, at night in the light of the camera's infrared lamp. Grey, as three equal planes."""
    random = np.random.default_rng(12)
    x, y = rays()
    end = 13.0
    z_floor = np.where(y > 1e-3, CAMERA_HEIGHT_M / np.maximum(y, 1e-3), np.inf)
    z = np.minimum(z_floor, end)
    u, up = x * z, CAMERA_HEIGHT_M - y * z

    asphalt = 74 * random.normal(1, 0.16, z.shape)
    asphalt += 60 * ((np.abs(u - 2.2 - 0.05 * z) < 0.06) & (np.mod(z, 1.6) < 1.0))
    asphalt -= 26 * (np.abs(u + 1.3 + 0.35 * np.sin(z * 1.7) + 0.1 * np.sin(z * 7)) < 0.012)
    cover = ((u + 0.9) / 0.34) ** 2 + ((z - 4.6) / 0.34) ** 2
    asphalt = np.where(cover < 1, 48 + 14 * (np.mod(u * 12, 1) < 0.5), asphalt)
    kerb = (z > 10.9) & (z < 11.2)
    asphalt = np.where(kerb, 128, asphalt)

    row = np.floor(up / 0.16)
    shifted = u + 0.15 * np.mod(row, 2)
    brick = 92 * cells(shifted + 20, up + 3, 0.3, 0.16, random, 0.09)
    brick += 22 * np.maximum(joints(shifted, 0.3, 0.014), joints(up, 0.16, 0.012))
    for middle in (-4.6, -1.9, 3.4):
        window = (np.abs(u - middle) < 0.6) & (up > 0.95) & (up < 2.4)
        frame = (np.abs(u - middle) < 0.68) & (up > 0.87) & (up < 2.48)
        brick = np.where(frame, 136, brick)
        brick = np.where(window, 30 + 30 * (np.abs(u - middle + 0.2 * up) < 0.1), brick)
        brick = np.where(window & ((np.abs(u - middle) < 0.03) | (np.abs(up - 1.7) < 0.03)), 130, brick)
    gate = np.abs(u - 0.8) < 0.95
    brick = np.where(gate & (up < 2.3), 56 + 26 * (np.mod(u, 0.22) < 0.03), brick)
    grey = np.where(z == z_floor, asphalt, brick)

    lamp = 1.35 / (1 + (z / 7.5) ** 2) * np.exp(-((x / 0.42) ** 2 + ((y - 0.16) / 0.42) ** 2) * 0.8) + 0.16
    return finished(np.repeat((grey * lamp * 1.15)[:, :, None], 3, axis=2), random)


def shade_of(place, z):
    """How light somebody is who stands at distance `z` (metres)."""
    if place == "gate":
        lamps = 0.62 + 0.42 * np.exp(-((np.mod(z + 0.6, 3.2) - 1.6) ** 2) / 0.9)
        return float((0.72 + 0.28 * lamps) * np.clip(1.04 - 0.02 * z, 0.6, 1.1) * np.clip((10.4 - z) / 0.8, 0.35, 1))
    return float(np.clip(1.25 / (1 + (z / 9.0) ** 2) + 0.12, 0.3, 1.15))


def blur_plane(plane, sigma_px):
    """Separable Gaussian on one float32 plane, borders repeated."""
    radius = max(1, int(np.ceil(2.5 * sigma_px)))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        widths = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(plane, widths, mode="edge")
        count = plane.shape[axis]
        strip = (lambda i: padded[i : i + count]) if axis == 0 else (lambda i: padded[:, i : i + count])
        plane = sum(weight * strip(i) for i, weight in enumerate(weights))
    return plane


def hood(width, height):
    """Vignetting: 1 in the middle, 0.8 in the corners."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return (1 - 0.1 * (x * x + y * y)).astype(np.float32)[:, :, None]


