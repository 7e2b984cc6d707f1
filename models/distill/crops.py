"""The aligned training crops: decoded once from their tar files into one flat uint8 file, then memory-mapped.

A crop is [112, 112, 3] RGB uint8, aligned to the five-point ArcFace template. Some sources are cut tightly, so their
chips carry black borders; the border mask of every crop is found once here, and `fill_border` paints over it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE_PX = 112
IMAGE_SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")
# Warped-in borders are exactly black before compression; WebP leaves a few grey levels of ringing.
BORDER_LEVEL_MAX = 12
# Smaller dark areas at the edge are hair or shadow far more often than border.
BORDER_AREA_PX_MIN = 60


def shared_dir() -> Path:
    """Folder with the data and the teacher, SEKISHO_SHARED or `../shared` beside the repository."""
    default = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("SEKISHO_SHARED", default))


@dataclass(frozen=True)
class Crops:
    """All crops of one cache: `images` [N,112,112,3] uint8, `borders` [N,112,112] packed bits, `names` per crop."""

    images: np.ndarray
    borders: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def border(self, index: int) -> np.ndarray:
        """Boolean mask [112,112] of the painted-in border of one crop."""
        bits = np.unpackbits(self.borders[index])
        return bits.reshape(SIDE_PX, SIDE_PX).astype(bool)


def border_mask(image_rgb: np.ndarray) -> np.ndarray:
    """Dark areas connected with the edge, grown by two pixels over the compression ringing; bool [112,112]."""
    dark = (image_rgb.max(axis=2) <= BORDER_LEVEL_MAX).astype(np.uint8)
    if not dark.any():
        return np.zeros(dark.shape, bool)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    kept = [label for label in edge if label and stats[label, cv2.CC_STAT_AREA] >= BORDER_AREA_PX_MIN]
    mask = np.isin(labels, kept).astype(np.uint8)
    return cv2.dilate(mask, np.ones((5, 5), np.uint8)).astype(bool)


def fill_border(image_rgb: np.ndarray, mask: np.ndarray, mode: str, rng: np.random.Generator) -> np.ndarray:
    """Paints the border by `mode`: replicate (nearest valid pixel), blur, noise, or keep. Returns a new array."""
    if mode == "keep" or not mask.any() or mask.all():
        return image_rgb
    if mode == "noise":
        out = image_rgb.copy()
        level = rng.integers(0, 256, 3)
        noise = level + rng.normal(0.0, 20.0, (int(mask.sum()), 3))
        out[mask] = np.clip(noise, 0, 255).astype(np.uint8)
        return out
    _, labels = cv2.distanceTransformWithLabels(
        mask.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    valid = ~mask
    value_of_label = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    value_of_label[labels[valid]] = image_rgb[valid]
    out = value_of_label[labels]
    out[valid] = image_rgb[valid]
    if mode == "blur":
        soft = cv2.GaussianBlur(out, (0, 0), 6.0)
        out[mask] = soft[mask]
    return out


def decode(data: bytes) -> np.ndarray:
    """Decodes one picture to [112,112,3] RGB; raises ValueError when it is not a 112x112 picture."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size != (SIDE_PX, SIDE_PX):
        raise ValueError(f"crop is {image.size[0]}x{image.size[1]}, expected {SIDE_PX}x{SIDE_PX}")
    return np.asarray(image)


def read_tar(path: Path):
    """Yields (name, image [112,112,3]) of every picture in a tar; other members are passed over."""
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.isfile() or not member.name.lower().endswith(IMAGE_SUFFIXES):
                continue
            handle = archive.extractfile(member)
            if handle is None:
                continue
            try:
                yield member.name, decode(handle.read())
            except ValueError as error:
                raise ValueError(f"{path.name}: {member.name}: {error}") from error


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def load(tars: list[Path], cache: Path, limit: int | None = None) -> Crops:
    """Maps the crops of `tars` into memory, decoding them into `cache` first when that was not done for these bytes."""
    stamp = {"tars": [[p.name, _digest(p)] for p in tars], "limit": limit, "version": 2}
    meta_path, pixel_path = cache / "meta.json", cache / "crops.u8"
    if not meta_path.exists() or json.loads(meta_path.read_text())["stamp"] != stamp:
        _unpack(tars, cache, limit, stamp)
    names = json.loads(meta_path.read_text())["names"]
    shape = (len(names), SIDE_PX, SIDE_PX, 3)
    images = np.memmap(pixel_path, np.uint8, "r", shape=shape)
    return Crops(images, np.load(cache / "borders.npy", mmap_mode="r"), names)


def _unpack(tars: list[Path], cache: Path, limit: int | None, stamp: dict) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "meta.json").unlink(missing_ok=True)
    names, borders = [], []
    with (cache / "crops.u8").open("wb") as pixels:
        for tar in tars:
            for name, image in read_tar(tar):
                if limit is not None and len(names) >= limit:
                    break
                pixels.write(np.ascontiguousarray(image).tobytes())
                borders.append(np.packbits(border_mask(image)))
                names.append(name)
    np.save(cache / "borders.npy", np.stack(borders))
    # Written last: a cache that was interrupted has no meta file and is made again.
    (cache / "meta.json").write_text(json.dumps({"stamp": stamp, "names": names}))
