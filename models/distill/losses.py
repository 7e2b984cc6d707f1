"""The terms of the distillation loss. z: student embeddings [N,D], t: teacher targets [N,D], both made unit length.

Every term is a mean over the batch; `total` adds those whose weight is above zero, so one config line switches a term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .haar import low_pass


@dataclass(frozen=True)
class Weights:
    """Weight of every term; zero switches it off and its inputs are not computed."""

    feature: float = 4.0
    relation: float = 1.0
    attention: float = 0.0
    wavelet: float = 0.0
    consistency: float = 0.0
    quality: float = 0.1
    identity: float = 0.0

    def needs_teacher_maps(self) -> bool:
        """Attention and wavelet terms compare stage maps, so the teacher must run beside the student."""
        return self.attention > 0.0 or self.wavelet > 0.0


def feature(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """1 - cosine, summed over dimensions (a mean over dimensions would be hundreds of times too weak)."""
    return (1.0 - (z * t).sum(1)).mean()


def relation(z: torch.Tensor, bank: torch.Tensor, wanted: torch.Tensor, own: torch.Tensor, tau: float) -> torch.Tensor:
    """KL between softmaxes over a bank [B,D] of teacher embeddings: the one-to-many search itself, without labels.

    `wanted` [N,B] are the teachers' logits (cosines over temperature). `own` [N] is the bank row that is the very same
    crop, or -1; it is masked out of both sides.
    """
    rows = torch.nonzero(own >= 0).squeeze(1)
    mask = torch.zeros(len(z), len(bank), dtype=torch.bool, device=z.device)
    mask[rows, own[rows]] = True
    given = (z @ bank.T / tau).masked_fill(mask, -1e4)
    wanted = wanted.masked_fill(mask, -1e4)
    return F.kl_div(F.log_softmax(given, 1), F.log_softmax(wanted, 1), log_target=True, reduction="batchmean")


def energy(maps: torch.Tensor) -> torch.Tensor:
    """Attention map of a stage: mean of squares over channels, [N,1,H,W]."""
    return maps.square().mean(1, keepdim=True)


def _cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (1.0 - F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)).mean()


def _same_size(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a if a.shape[2:] == b.shape[2:] else F.adaptive_avg_pool2d(a, b.shape[2:])


def attention(student: list[torch.Tensor], teacher: list[torch.Tensor]) -> torch.Tensor:
    """1 - cosine of the attention maps, mean over the stages."""
    pairs = [(energy(s), energy(t)) for s, t in zip(student, teacher)]
    return torch.stack([_cosine(s, _same_size(t, s)) for s, t in pairs]).mean()


def wavelet(student: list[torch.Tensor], teacher: list[torch.Tensor], levels: int = 2) -> torch.Tensor:
    """1 - cosine of the low-frequency (LL) part of the attention maps, over `levels` of the transform.

    The high bands have weight zero: a low-resolution probe does not have them, so asking for them is asking for noise.
    """
    terms = []
    for s, t in zip(student, teacher):
        s, t = energy(s), _same_size(energy(t), energy(s))
        for _ in range(levels):
            if s.shape[2] % 2 or s.shape[3] % 2:
                break
            s, t = low_pass(s), low_pass(t)
            terms.append(_cosine(s, t))
    return torch.stack(terms).mean()


def consistency(z: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Draws the degraded view to what the student itself says of the clean one (which does not move)."""
    return feature(z, clean.detach())


def quality(q: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The quality head predicts how close the embedding came to the teacher's, cos(z, t)."""
    return F.smooth_l1_loss(q, (z * t).sum(1).detach(), beta=0.1)


class TeacherCentres:
    """Identity term (AdaDistill's idea): class centres are running means of teacher embeddings, never learned."""

    def __init__(self, classes: int, dims: int, device="cpu", scale: float = 64.0, margin: float = 0.45):
        self.centres = torch.zeros(classes, dims, device=device)
        self.seen = torch.zeros(classes, dtype=torch.bool, device=device)
        self.scale, self.margin = scale, margin

    @torch.no_grad()
    def update(self, z: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> None:
        """Moves each centre towards the teacher, the faster the further the student and centre are from it."""
        for row, label in enumerate(labels.tolist()):
            if label < 0:
                continue
            if not self.seen[label]:
                self.centres[label], self.seen[label] = t[row], True
                continue
            centre = self.centres[label]
            alpha = float((torch.dot(z[row], t[row]) * torch.dot(centre, t[row])).clamp(1e-6, 1.0))
            self.centres[label] = F.normalize(alpha * centre + (1.0 - alpha) * t[row], dim=0)

    def loss(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Additive angular margin softmax over the centres seen so far; rows without a label are left out."""
        rows = torch.nonzero(labels >= 0).squeeze(1)
        if len(rows) == 0 or int(self.seen.sum()) < 2:
            return z.sum() * 0.0
        cosine = (z[rows] @ self.centres.T).clamp(-1 + 1e-6, 1 - 1e-6)
        wanted = labels[rows]
        angle = torch.acos(cosine.gather(1, wanted[:, None]))
        # Beyond pi the cosine turns back; the margin stops there.
        target = torch.cos((angle + self.margin).clamp(max=3.14159))
        logits = cosine.scatter(1, wanted[:, None], target).masked_fill(~self.seen, -1.0)
        return F.cross_entropy(self.scale * logits, wanted)
