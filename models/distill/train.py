"""Trains a student; run it again with the same arguments and it goes on from its last checkpoint.

    python -m distill.train --config distill/configs/from-teacher.toml --out runs/from-teacher

Writes into --out: `checkpoint.pt` (everything needed to go on), `log.csv`, `curves.png`, `config.toml`, and
`kept-VIEWS.pt` where the config asks for them. CPU or one GPU, same command.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from . import build, config as configs, crops as crop_store, losses, teachers, views

LOG_FIELDS = ("views", "minutes", "lr", "total", "feature", "relation", "attention", "wavelet", "consistency",
              "quality", "identity", "cos_sharp", "cos_32", "cos_16", "cos_8", "views_per_s")


def progress(config: configs.Config, seen: int, trained_s: float) -> float:
    """Share of the schedule used up, by views or by training minutes (whichever is further), 0..1."""
    by_views = seen / config.schedule.views
    by_time = trained_s / (config.schedule.minutes * 60.0) if config.schedule.minutes else 0.0
    return min(max(by_views, by_time), 1.0)


def learning_rate(config: configs.Config, seen: int, share: float) -> float:
    """Linear warm-up over views, then cosine to the end value."""
    s = config.schedule
    warm = min((seen + s.batch) / max(s.warmup_views, 1), 1.0)
    return warm * (s.lr_end + 0.5 * (s.lr - s.lr_end) * (1.0 + math.cos(math.pi * share)))


def optimiser(model: torch.nn.Module, config: configs.Config) -> torch.optim.Optimizer:
    """AdamW; biases, normalisation and other vectors carry no weight decay."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trainable if p.ndim > 1]
    plain = [p for p in trainable if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.schedule.lr, fused=torch.cuda.is_available())


def allowed_rows(names: list[str], exclude: str) -> np.ndarray:
    """Rows of the crops that may be trained on: all but those the table `exclude` lists under `training_crop`."""
    if not exclude:
        return np.arange(len(names))
    with open(exclude, newline="") as handle:
        out = {row["training_crop"] for row in csv.DictReader(handle)}
    rows = np.array([row for row, name in enumerate(names) if name not in out])
    print(f"{len(names) - len(rows)} crops left out of training by {exclude}", flush=True)
    return rows


def identity_labels(names: list[str]) -> np.ndarray:
    """Person of each crop [N], or -1 where the source has no names: only `celeba/PERSON_FILE` carries one."""
    persons: dict[str, int] = {}
    labels = np.full(len(names), -1)
    for row, name in enumerate(names):
        source, _, file = name.partition("/")
        if source == "celeba":
            labels[row] = persons.setdefault(file.split("_")[0], len(persons))
    return labels


class Trainer:
    """Model, its running mean, optimiser and counters: all that a checkpoint holds."""

    def __init__(self, config: configs.Config, out: Path, cache: Path):
        self.config, self.out = config, out
        self.device = torch.device(_device(config.run.device))
        torch.manual_seed(config.run.seed)
        tars = [crop_store.shared_dir() / "data" / name for name in config.data.tars]
        self.crops = crop_store.load(tars, cache, config.data.limit)
        intel = teachers.Embedder("intel", build.teacher_path(), "intel", config.run.threads)
        wanted = teachers.targets(intel, self.crops, cache)
        self.targets = torch.from_numpy(wanted).to(self.device)
        rng = np.random.default_rng((config.run.seed, 2))
        self.allowed = allowed_rows(self.crops.names, config.data.exclude)
        rows = rng.permutation(self.allowed)[: config.bank]
        self.bank = self.targets[torch.from_numpy(rows).to(self.device)]
        self.second = None
        if config.second_teacher:
            kind, _, file = config.second_teacher.partition(":")
            other = teachers.Embedder(kind, Path(file), kind, config.run.threads)
            self.second = torch.from_numpy(teachers.targets(other, self.crops, cache)).to(self.device)
            self.second_bank = self.second[torch.from_numpy(rows).to(self.device)]
        self.bank_row = torch.full((len(self.crops),), -1, dtype=torch.long, device=self.device)
        self.bank_row[torch.from_numpy(rows).to(self.device)] = torch.arange(len(rows), device=self.device)
        self.model = build.student(config.network).to(self.device, memory_format=torch.channels_last)
        self.mean = build.student(config.network).to(self.device, memory_format=torch.channels_last)
        self.mean.load_state_dict(self.model.state_dict())
        self.teacher = None
        if config.loss.needs_teacher_maps():
            self.teacher = build.frozen_teacher().to(self.device, memory_format=torch.channels_last)
        labels = identity_labels(self.crops.names)
        self.labels = torch.from_numpy(labels).to(self.device)
        self.centres = None
        if config.loss.identity:
            self.centres = losses.TeacherCentres(int(labels.max()) + 1, self.targets.shape[1], self.device)
        self.optimiser = optimiser(self.model, config)
        self.step, self.trained_s = 0, 0.0
        self.sums: dict[str, list[float]] = {}

    def resume(self) -> None:
        """Takes up the last checkpoint of the output folder, if there is one."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.trained_s = state["step"], state["trained_s"]
        if self.centres is not None:
            self.centres.centres, self.centres.seen = state["centres"], state["centres_seen"]
        print(f"resumed at step {self.step}, {self.trained_s / 60:.1f} minutes trained", flush=True)

    def save(self, name: str = "checkpoint.pt") -> None:
        """Writes a checkpoint beside the old one, then takes its place: a kill never leaves half a file."""
        state = {"model": self.model.state_dict(), "mean": self.mean.state_dict(), "step": self.step,
                 "optimiser": self.optimiser.state_dict(), "trained_s": self.trained_s}
        if self.centres is not None:
            state.update(centres=self.centres.centres, centres_seen=self.centres.seen)
        part = self.out / (name + ".part")
        torch.save(state, part)
        os.replace(part, self.out / name)

    def terms(self, batch) -> dict[str, torch.Tensor]:
        """Loss terms of one batch, weighted, and `total`."""
        pictures, rows, _, clean = (t.to(self.device, non_blocking=True) for t in batch)
        weights = self.config.loss
        x = pictures.float().contiguous(memory_format=torch.channels_last)
        z, q, maps = self.model(x)
        z, t = F.normalize(z.float(), dim=1), self.targets[rows]
        self.cosines = (z * t).sum(1).detach()
        out = {"feature": weights.feature * losses.feature(z, t)}
        if weights.relation:
            own = self.bank_row[rows]
            wanted = t @ self.bank.T / self.config.tau
            if self.second is not None:
                other = self.second[rows] @ self.second_bank.T / self.config.second_tau
                wanted = 0.5 * (wanted + other)
            out["relation"] = weights.relation * losses.relation(z, self.bank, wanted, own, self.config.tau)
        if weights.quality:
            out["quality"] = weights.quality * losses.quality(q.float(), z.detach(), t)
        if self.centres is not None:
            owners = self.labels[rows]
            self.centres.update(z.detach(), t, owners)
            out["identity"] = weights.identity * self.centres.loss(z, owners)
        if len(clean):
            y = clean.float().contiguous(memory_format=torch.channels_last)
            if self.teacher is not None:
                with torch.no_grad():
                    _, _, wanted = self.teacher(y)
                if weights.attention:
                    out["attention"] = weights.attention * losses.attention(maps, wanted)
                if weights.wavelet:
                    out["wavelet"] = weights.wavelet * losses.wavelet(maps, wanted)
            if weights.consistency:
                with torch.no_grad():
                    sharp = F.normalize(self.model(y)[0].float(), dim=1)
                out["consistency"] = weights.consistency * losses.consistency(z, sharp)
        out["total"] = torch.stack(list(out.values())).sum()
        return out

    def learn(self, batch) -> None:
        """One step: loss, gradient, update, running mean."""
        share = progress(self.config, self.step * self.config.schedule.batch, self.trained_s)
        self.lr = learning_rate(self.config, self.step * self.config.schedule.batch, share)
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.run.bf16):
            terms = self.terms(batch)
        if not torch.isfinite(terms["total"]):
            raise FloatingPointError(f"loss is not finite at step {self.step}; lower schedule.lr and resume")
        self.optimiser.zero_grad(set_to_none=True)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.schedule.clip)
        self.optimiser.step()
        # The running mean starts short, or it would remember the first steps for thousands of views.
        decay = min(self.config.schedule.ema, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for slow, fast in zip(self.mean.state_dict().values(), self.model.state_dict().values()):
                slow.lerp_(fast, 1.0 - decay) if slow.is_floating_point() else slow.copy_(fast)
        self.step += 1
        self._note(terms, batch[2])

    def _note(self, terms: dict[str, torch.Tensor], sides: torch.Tensor) -> None:
        for name, value in terms.items():
            self.sums.setdefault(name, []).append(float(value.detach()))
        cosines = self.cosines.cpu()
        for name, low, high in (("cos_sharp", 112, 113), ("cos_32", 28, 37), ("cos_16", 14, 19), ("cos_8", 7, 10)):
            chosen = cosines[(sides >= low) & (sides < high)]
            self.sums.setdefault(name, []).extend(chosen.tolist())

    def row(self, views_per_s: float) -> dict[str, float]:
        """Means since the last log line, and the counters."""
        out = {name: round(sum(v) / len(v), 5) for name, v in self.sums.items() if v}
        self.sums = {}
        seen = self.step * self.config.schedule.batch
        out.update(views=seen, minutes=round(self.trained_s / 60, 2), lr=self.lr, views_per_s=round(views_per_s, 1))
        return out


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _write_row(path: Path, row: dict[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, LOG_FIELDS, restval="")
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def run(config: configs.Config, out: Path, cache: Path, max_steps: int | None = None) -> Trainer:
    """Trains until the schedule is used up, `max_steps` were done, or SIGTERM/SIGINT; always leaves a checkpoint."""
    torch.set_num_threads(config.run.threads)
    # OpenCV's own threads do not survive the fork of the loader's workers: one that was started before, for the teacher's
    # crops, would leave every worker waiting for ever.
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, out, cache)
    trainer.resume()
    stop = {"asked": False}
    if max_steps is None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.update(asked=True))
    size = config.schedule.batch
    left = max(config.schedule.views // size - trainer.step, 0)
    left = left if max_steps is None else min(left, max_steps)
    pair = config.loss.needs_teacher_maps() or config.loss.consistency > 0.0
    trainer.model.train()
    last = saved = logged = time.monotonic()
    logged_step = trainer.step
    for batch in views.loader(trainer.crops, trainer.allowed, config, trainer.step, left, pair):
        trainer.learn(batch)
        now = time.monotonic()
        # A step longer than a minute means that the process was suspended, not that it learned.
        trainer.trained_s, last = trainer.trained_s + min(now - last, 60.0), now
        seen = trainer.step * size
        if trainer.step % config.run.log_steps == 0:
            row = trainer.row((trainer.step - logged_step) * size / (now - logged))
            logged, logged_step = now, trainer.step
            _write_row(out / "log.csv", row)
            print(row, flush=True)
        if config.run.keep_views and seen // config.run.keep_views > (seen - size) // config.run.keep_views:
            trainer.save(f"kept-{seen // config.run.keep_views * config.run.keep_views}.pt")
        if now - saved > config.run.save_minutes * 60:
            trainer.save()
            saved = now
        if stop["asked"] or progress(config, seen, trainer.trained_s) >= 1.0:
            break
    trainer.save()
    return trainer


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="decoded crops and teacher targets")
    arguments = parser.parse_args()
    config = configs.load(arguments.config)
    arguments.out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(arguments.config, arguments.out / "config.toml")
    run(config, arguments.out, arguments.cache)
    from . import curves

    curves.draw(arguments.out / "log.csv", arguments.out / "curves.png")


if __name__ == "__main__":
    main()
