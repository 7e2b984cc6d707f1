"""Training views: a crop, its border painted, mirrored or not, degraded or sharp. View k is the same on every machine."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from . import degrade
from .config import Config
from .crops import SIDE_PX, Crops, fill_border

FILLS = ("replicate", "blur", "noise", "keep")
# Replicate most often: it is nearest to a frame that simply goes on.
FILL_P = (0.45, 0.2, 0.15, 0.2)


def one_view(crops: Crops, index: int, seed: int, number: int, data, smallest_px: int, pair: bool):
    """View `number` of crop `index`: (picture [112,112,3] uint8, side px, and the clean picture or None)."""
    rng = np.random.default_rng((seed, number))
    fill = FILLS[rng.choice(len(FILLS), p=FILL_P)]
    image = fill_border(np.asarray(crops.images[index]), crops.border(index), fill, rng)
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    clean = image if pair else None
    if rng.random() < data.sharp_share:
        side = SIDE_PX
        if rng.random() < 0.5:
            image = degrade.jitter_landmarks(image, side, degrade.TRAIN, rng)
        return degrade.tone(image, degrade.TRAIN, rng), side, clean
    side = degrade.train_side_px(rng, smallest_px, data.sides)
    chain = degrade.clean_variant(degrade.TRAIN) if rng.random() < data.clean_share else degrade.TRAIN
    return degrade.degrade(image, side, chain, rng), side, clean


class Views(Dataset):
    """Batches by number: item b holds views b*batch .. (b+1)*batch of an endless, seeded walk over the crops `rows`."""

    def __init__(self, crops: Crops, rows: np.ndarray, config: Config, first_batch: int, batches: int, pair: bool):
        self.crops, self.rows, self.config, self.pair = crops, rows, config, pair
        self.first, self.batches = first_batch, batches

    def __len__(self) -> int:
        return self.batches

    def order(self, epoch: int) -> np.ndarray:
        """Permutation of the crops in one pass."""
        return np.random.default_rng((self.config.run.seed, 10**6, epoch)).permutation(self.rows)

    def smallest_px(self, number: int) -> int:
        """Curriculum: 28 px at the start down to 7 px."""
        share = self.config.schedule.curriculum
        if share <= 0.0:
            return 7
        passed = min(number / (self.config.schedule.views * share), 1.0)
        return int(round(28 * (7 / 28) ** passed))

    def __getitem__(self, item: int):
        size = self.config.schedule.batch
        start = (self.first + item) * size
        pictures, rows, sides, cleans = [], [], [], []
        orders: dict[int, np.ndarray] = {}
        for number in range(start, start + size):
            epoch, place = divmod(number, len(self.rows))
            if epoch not in orders:
                orders[epoch] = self.order(epoch)
            index = int(orders[epoch][place])
            view = one_view(
                self.crops, index, self.config.run.seed, number, self.config.data, self.smallest_px(number), self.pair
            )
            pictures.append(view[0])
            rows.append(index)
            sides.append(view[1])
            cleans.append(view[2])
        tensor = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
        clean = torch.from_numpy(np.stack(cleans).transpose(0, 3, 1, 2).copy()) if self.pair else torch.zeros(0)
        return tensor, torch.tensor(rows), torch.tensor(sides), clean


def _quiet_worker(_: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def loader(
    crops: Crops, allowed: np.ndarray, config: Config, first_batch: int, batches: int, pair: bool
) -> DataLoader:
    """Loader of the batches still to come, from the `allowed` crops; it does not depend on the number of workers."""
    workers = config.run.workers
    return DataLoader(
        Views(crops, allowed, config, first_batch, batches, pair),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker,
        pin_memory=torch.cuda.is_available(),
    )
