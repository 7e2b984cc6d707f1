"""The training config: one TOML file, unknown keys refused, every key with its meaning here."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .losses import Weights


@dataclass(frozen=True)
class Network:
    """Which student: route `teacher` (starts from the teacher's weights) or `wave` (random start, sizes S, M, L)."""

    route: str = "teacher"
    size: str = "M"
    # `stride` or `ll`: how maps are halved.
    downsample: str = "stride"
    # Gated high-frequency path beside LL (route `wave` only).
    gated_bands: bool = False
    # An exported student (.onnx) to start from instead of the route's own start, path relative to the working folder.
    start: str = ""


@dataclass(frozen=True)
class Data:
    """Tars under the shared data folder; `limit` takes the first so many crops (smoke runs)."""

    tars: tuple = ("train-a.tar", "train-b.tar")
    limit: int | None = None
    # Share of views left sharp (only landmark error and tone), and of the rest that see kernels alone.
    sharp_share: float = 0.25
    clean_share: float = 0.35
    # Probe sides of degraded views as [low px, high px, weight], log-uniform inside each; empty: the module's own mixture.
    sides: tuple = ()
    # A table with a column `training_crop` (evaluate.overlap writes one): these crops are left out of training.
    exclude: str = ""


@dataclass(frozen=True)
class Schedule:
    """AdamW, warm-up, then cosine over views or minutes of training, whichever is used up first."""

    batch: int = 48
    views: int = 1_000_000
    minutes: float = 0.0
    lr: float = 4e-4
    lr_end: float = 2e-6
    weight_decay: float = 0.02
    warmup_views: int = 3000
    ema: float = 0.998
    clip: float = 5.0
    # Smallest probe side falls from 28 to 7 px over this share of the schedule (0: all sizes from the start).
    curriculum: float = 0.0


@dataclass(frozen=True)
class Run:
    """Repeatability, machine use and how often the state is saved."""

    seed: int = 7
    threads: int = 2
    workers: int = 1
    device: str = "auto"
    # bfloat16 autocast; pays on GPUs and on CPUs with AVX-512 BF16, costs on other CPUs.
    bf16: bool = False
    save_minutes: float = 3.0
    log_steps: int = 20
    # Kept apart for good (for tables by number of views), every so many views; 0 keeps none.
    keep_views: int = 0


@dataclass(frozen=True)
class Config:
    """Everything that decides a run."""

    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    loss: Weights = field(default_factory=Weights)
    schedule: Schedule = field(default_factory=Schedule)
    run: Run = field(default_factory=Run)
    # Relational bank: rows of teacher embeddings, and the softmax temperature.
    bank: int = 8192
    tau: float = 0.05
    # A second teacher for the relational term alone, `sface:FILE` (evaluate.networks names them); empty: none. What the bank
    # says of a crop is then the mean of both teachers' logits, each at its own temperature.
    second_teacher: str = ""
    second_tau: float = 0.07


def load(path: Path) -> Config:
    """Reads a config; raises ValueError that names every unknown key and section at once."""
    table = tomllib.loads(path.read_text())
    wrong: list[str] = []
    values = {}
    known = {f.name: f for f in dataclasses.fields(Config)}
    for name, value in table.items():
        if name not in known:
            wrong.append(name)
        elif isinstance(value, dict):
            part = type(getattr(Config(), name))
            fields = {f.name for f in dataclasses.fields(part)}
            wrong += [f"{name}.{key}" for key in value if key not in fields]
            good = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items() if k in fields}
            values[name] = part(**good)
        else:
            values[name] = value
    if wrong:
        raise ValueError(f"{path}: unknown keys: {', '.join(wrong)}")
    return Config(**values)
