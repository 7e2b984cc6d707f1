"""Cut-outs of people: head and upper body from a public-domain photograph, the rest of the body drawn.

The unit of every body measure is the distance between the eyes (63 mm on average), origin between the eyes, y down.
"""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

PHOTOS = pathlib.Path(__file__).resolve().parents[2] / ".sekisho/demo/photos"
PHASES = 8  # pictures of one walking cycle
LEFT, TOP, WIDTH, HEIGHT = -6.0, -4.5, 12.0, 31.0  # of the cut-out's canvas, in units
FEET = 25.2

# photo: file below photos/; eyes: (x, y) of both in it; outline: polygon of what is taken from it;
# cloth: RGB of the drawn rest; trousers: RGB; photo_to: the last unit below the eyes the photo covers (feathered there).
PEOPLE = {
    "collins": {
        "photo": "astronaut.png",
        "eyes": ((200, 102), (247, 103)),
        "cloth": (206, 88, 48),
        "trousers": (196, 82, 46),
        "outline": [
            (153, 92), (152, 74), (160, 50), (178, 30), (208, 18), (240, 19), (270, 30), (291, 52), (301, 80), (299, 102),
            (284, 120), (262, 130), (259, 150), (264, 184), (290, 204), (303, 230), (306, 247), (330, 250), (350, 275),
            (362, 308), (363, 338), (335, 340), (290, 352), (284, 400), (276, 400), (262, 420), (30, 420), (28, 345),
            (33, 300), (48, 265), (78, 232), (108, 214), (112, 186), (125, 165), (150, 151), (181, 147), (182, 130),
            (170, 112), (158, 104),
        ],
    },
    "hopper": {
        "photo": "grace_hopper.jpg",
        "eyes": ((227, 193), (308, 195)),
        "cloth": (22, 22, 30),
        "trousers": (20, 20, 27),
        "outline": [
            (168, 134), (166, 110), (174, 92), (184, 72), (190, 52), (214, 36), (240, 26), (266, 20), (292, 24), (322, 42),
            (346, 60), (355, 74), (353, 90), (365, 101), (370, 132), (366, 160), (371, 186), (374, 205), (364, 236),
            (357, 258), (352, 286), (338, 304), (334, 322), (352, 326), (400, 354), (468, 384), (495, 408), (511, 440),
            (511, 600), (14, 600), (24, 470), (36, 418), (52, 394), (82, 376), (150, 355), (198, 334), (200, 306),
            (184, 294), (168, 284), (172, 256), (160, 236), (154, 202), (158, 176), (170, 156),
        ],
    },
    "obama": {
        "photo": "obama3.jpg",
        "eyes": ((736, 380), (866, 383)),
        "cloth": (22, 23, 34),
        "trousers": (19, 20, 30),
        "outline": [
            (622, 420), (618, 372), (618, 330), (632, 278), (664, 244), (716, 224), (780, 218), (840, 232), (886, 266),
            (910, 312), (916, 362), (912, 430), (930, 450), (924, 500), (908, 520), (896, 570), (870, 606), (852, 630),
            (866, 664), (930, 700), (1040, 730), (1146, 766), (1160, 850), (1172, 960), (1200, 1060), (1222, 1170),
            (1190, 1290), (1150, 1350), (1086, 1372), (1100, 1500), (1138, 1620), (1150, 1900), (1172, 2080),
            (1110, 2100), (1100, 2333), (355, 2333), (350, 2096), (256, 2080), (300, 1800), (352, 1600), (372, 1430),
            (300, 1400), (252, 1310), (240, 1190), (262, 1010), (284, 880), (320, 772), (470, 720), (600, 680), (640, 636),
            (642, 580), (622, 520), (594, 480), (588, 420), (604, 410),
        ],
    },
    "biden": {
        "photo": "biden.jpg",
        "eyes": ((520, 328), (667, 332)),
        "cloth": (17, 16, 18),
        "trousers": (15, 15, 18),
        "outline": [
            (392, 290), (398, 220), (424, 160), (468, 122), (530, 104), (610, 106), (678, 132), (722, 176), (744, 240),
            (742, 300), (728, 340), (722, 420), (698, 476), (664, 540), (626, 582), (640, 620), (720, 660), (850, 700),
            (912, 740), (930, 820), (969, 890), (969, 1140), (900, 1240), (836, 1250), (880, 1440), (908, 1560), (940, 1800),
            (962, 2000), (858, 2030), (844, 2204), (40, 2204), (46, 2000), (60, 1700), (86, 1480), (96, 1300), (56, 1150),
            (48, 1000), (46, 860), (60, 700), (72, 640), (180, 610), (330, 580), (398, 530), (420, 480), (404, 410),
            (388, 360), (384, 310),
        ],
    },
    "einstein": {
        "photo": "solvay-1927.png",
        "eyes": ((882, 273), (905, 273)),
        "cloth": (52, 52, 52),
        "trousers": (42, 42, 42),
        "outline": [
            (858, 268), (858, 248), (864, 234), (878, 226), (896, 224), (914, 230), (924, 244), (926, 262), (924, 284),
            (919, 300), (908, 312), (926, 320), (946, 330), (958, 345), (966, 370), (972, 408), (836, 408), (838, 360),
            (846, 334), (866, 322), (876, 312), (868, 296), (862, 284),
        ],
    },
    "kramers": {
        "photo": "solvay-1927.png",
        "eyes": ((581, 221), (604, 220)),
        "cloth": (44, 44, 44),
        "trousers": (38, 38, 38),
        "outline": [
            (566, 228), (565, 208), (570, 194), (582, 186), (598, 186), (612, 194), (619, 208), (620, 230), (614, 246),
            (606, 258), (612, 268), (634, 280), (646, 296), (652, 316), (654, 366), (541, 366), (541, 300), (548, 280),
            (570, 266), (578, 256), (570, 244),
        ],
    },
    "piccard": {
        "photo": "solvay-1927.png",
        "eyes": ((257, 59), (279, 59)),
        "cloth": (30, 30, 30),
        "trousers": (28, 28, 28),
        "outline": [
            (240, 64), (238, 44), (244, 28), (258, 19), (276, 18), (290, 28), (296, 46), (294, 70), (288, 86), (281, 98),
            (284, 112), (292, 128), (310, 141), (322, 160), (326, 176), (200, 176), (203, 130), (216, 116), (240, 104), (252, 96),
            (246, 82),
        ],
    },
}


def photograph(name):
    """The photograph as RGB; the thin red frames that were once drawn into the Solvay picture are filled in."""
    image = Image.open(PHOTOS / name).convert("RGB")
    if not name.startswith("solvay"):
        return image
    pixels = np.asarray(image).astype(np.float32)
    red = pixels[:, :, 0] - pixels[:, :, 1] > 12
    red = np.asarray(Image.fromarray(red.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(3))) > 0
    grey = pixels[:, :, 1] * ~red
    for radius in (2, 4):  # the mean of the clean neighbours; the wider one serves the corners of the frames
        size = 2 * radius + 1
        weight = box_mean((~red).astype(np.float32), size)
        grey = np.where(red & (weight > 0.15), box_mean(grey * ~red, size) / np.maximum(weight, 1e-3), grey)
    return Image.fromarray(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2))


def box_mean(values, size):
    """Mean over a size x size window, borders repeated."""
    pad = size // 2
    for axis in (0, 1):
        widths = [(pad, pad) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(values, widths, mode="edge"), axis=axis, dtype=np.float64)
        total = np.concatenate([np.zeros_like(np.take(total, [0], axis=axis)), total], axis=axis)
        count = values.shape[axis]
        high = np.take(total, np.arange(size, size + count), axis=axis)
        values = ((high - np.take(total, np.arange(count), axis=axis)) / size).astype(np.float32)
    return values


class Person:
    """The cut-outs of one person: `pictures[phase]` are RGBA at `unit_px` pixels between the eyes, and half, ... of it."""

    def __init__(self, name):
        about = PEOPLE[name]
        left, right = (np.array(eye, float) for eye in about["eyes"])
        self.name = name
        self.photo_unit_px = float(np.hypot(*(right - left)))
        self.unit_px = min(36.0, self.photo_unit_px)
        random = np.random.default_rng(sum(map(ord, name)))
        top, end_of_photo = self._from_photo(about, (left + right) / 2)
        self.pictures = []
        for phase in range(PHASES):
            body = self._drawn(about, phase, end_of_photo, random)
            whole = Image.alpha_composite(body, top)
            self.pictures.append(pyramid(whole))

    def _canvas(self, points):
        return [((x - LEFT) * self.unit_px, (y - TOP) * self.unit_px) for x, y in points]

    def _from_photo(self, about, eyes_mid):
        """The part taken from the photograph, on the canvas, and the unit below the eyes where it ends."""
        scale = self.unit_px / self.photo_unit_px
        image = photograph(about["photo"])
        mask = Image.new("L", image.size, 0)
        ImageDraw.Draw(mask).polygon(about["outline"], fill=255)
        # Never up-sampled: prefilter, then bring to the canvas' scale.
        size = (round(image.width * scale), round(image.height * scale))
        small, small_mask = image.resize(size, Image.Resampling.LANCZOS), mask.resize(size, Image.Resampling.BOX)
        small_mask = small_mask.filter(ImageFilter.GaussianBlur(self.unit_px / 24))
        at = np.round((np.array([-LEFT, -TOP]) * self.unit_px) - eyes_mid * scale).astype(int)
        canvas = Image.new("RGBA", (round(WIDTH * self.unit_px), round(HEIGHT * self.unit_px)))
        small.putalpha(small_mask)
        canvas.paste(small, tuple(int(v) for v in at))
        pixels = np.array(canvas)
        end = (max(y for _, y in about["outline"]) - eyes_mid[1]) / self.photo_unit_px
        rows = np.arange(pixels.shape[0]) / self.unit_px + TOP
        fade = np.clip((end - 0.15 - rows) / 0.8, 0, 1)[:, None]
        pixels[:, :, 3] = (pixels[:, :, 3] * fade).astype(np.uint8)
        return Image.fromarray(pixels), end

    def _drawn(self, about, phase, end_of_photo, random):
        """Torso, arms and legs below what the photograph covers."""
        size = (round(WIDTH * self.unit_px), round(HEIGHT * self.unit_px))
        swing = np.sin(2 * np.pi * phase / PHASES)
        cloth, trousers = np.array(about["cloth"], float), np.array(about["trousers"], float)
        body = Image.new("RGBA", size)
        for side in (-1, 1):
            # Seen from the front, the leg that swings back is shorter; so is the arm on the other side.
            lift = 0.9 * max(0.0, side * swing)
            foot = FEET - lift
            leg = [(side * 0.15, 10.8), (side * 2.6, 10.8), (side * 2.35, 17.5), (side * 2.0, foot - 0.7),
                   (side * 0.75, foot - 0.7), (side * 0.5, 17.5)]
            shoe = [(side * 0.6, foot - 0.9), (side * 2.05, foot - 0.9), (side * 2.5, foot), (side * 0.55, foot)]
            self._limb(body, leg, trousers * (0.92 - 0.12 * max(0.0, -side * swing)), random)
            self._limb(body, shoe, np.array([22.0, 20.0, 20.0]), random)
        if end_of_photo < 9:
            for side in (-1, 1):
                hand = 11.4 - 0.7 * max(0.0, -side * swing)
                arm = [(side * 2.2, 3.1), (side * 2.9, 3.5), (side * 3.35, 4.6), (side * 3.75, 8.0), (side * 3.7, hand),
                       (side * 2.8, hand), (side * 2.5, 7.0)]
                palm = [(side * 2.9, hand - 0.2), (side * 3.6, hand - 0.2), (side * 3.55, hand + 1.0), (side * 3.0, hand + 1.2)]
                self._limb(body, palm, np.array([150.0, 116.0, 98.0]), random)
                self._limb(body, arm, cloth * 0.85, random)
            torso = [(-0.9, 2.2), (0.9, 2.2), (2.3, 2.95), (2.9, 3.6), (2.9, 7.5), (2.75, 12.2), (-2.75, 12.2), (-2.9, 7.5),
                     (-2.9, 3.6), (-2.3, 2.95)]
            self._limb(body, torso, cloth, random)
        return body

    def _limb(self, canvas, outline, colour, random):
        """One rounded, softly lit part: darker towards its sides, with a few vertical folds."""
        points = np.array(self._canvas(outline))
        margin = int(2 * self.unit_px)
        corner = np.maximum(points.min(0).astype(int) - margin, 0)
        size = np.minimum(points.max(0).astype(int) + margin, canvas.size) - corner
        size = (int(size[0]), int(size[1]))
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).polygon([tuple(point) for point in points - corner], fill=255)
        mask = mask.filter(ImageFilter.GaussianBlur(self.unit_px / 10))
        inside = np.asarray(mask, np.float32) / 255
        spread = np.asarray(mask.filter(ImageFilter.BoxBlur(self.unit_px * 0.9)), np.float32) / 255
        folds = random.normal(0, 1, (2 + size[1] // 40, 2 + size[0] // 14)).astype(np.float32)
        folds = np.asarray(Image.fromarray(folds).resize(size, Image.Resampling.BICUBIC))
        light = (0.55 + 0.5 * spread) * (1 + 0.05 * folds)
        pixels = np.clip(colour[None, None] * light[:, :, None], 0, 255)
        layer = np.dstack([pixels, inside * 255]).astype(np.uint8)
        canvas.alpha_composite(Image.fromarray(layer), tuple(int(v) for v in corner))

    def drawn_at(self, unit_px, phase):
        """The picture of that walking phase whose scale is nearest above `unit_px`, and its scale."""
        pictures = self.pictures[phase % PHASES]
        level = 0
        while level + 1 < len(pictures) and self.unit_px / 2 ** (level + 1) >= unit_px:
            level += 1
        return pictures[level], self.unit_px / 2**level


def pyramid(picture):
    """The picture and its halves down to 40 px wide. Pillow weighs colours by their alpha, so no fringe bleeds in."""
    levels = [picture]
    while levels[-1].width > 40:
        levels.append(levels[-1].reduce(2))
    return levels
