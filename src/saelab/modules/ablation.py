"""A concept kept from an SAE for a part of its training, and given back."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saelab.analysis import directions
from saelab.analysis.concept_scores import score_families
from saelab.analysis.selectivity import PURE, assign
from saelab.sae import SAE, Step
from saelab.sae.rows import rows_of
from saelab.store.batches import Acts

Kind = Literal[
    "none", "drop", "down_weight", "class_mean", "lda", "probe", "penalise", "random_rows", "random_direction"
]


class Ablation(nn.Module):
    """What is done to a concept from `begin` to `end` of training; before and after, training is as ever.

    drop: its rows are not trained on; nothing takes their place, so batches are smaller.
    down_weight: its rows count `weight` times, Σ_r w_r L_r / n; terms are computed of its rows and of the others apart.
    class_mean, lda, probe: x ← x − (x·u) u for all rows, in the user's activation space, with the unit vector u of
        `saelab.analysis.directions` that the first `rows` training rows give. A transcoder's target stays.
    penalise: `penalty` Σ_{i in P} |f_i|, mean over rows, is added to the loss, P the latents that are pure for the
        concept on these rows when it begins. P then stays, and may be empty.
    none, random_rows, random_direction: controls. Nothing; `drop` of as many rows drawn at random, the same in all
        epochs; a random u.

    Args:
        concept: a label family of the store and one of its classes, as `digit/3`.
        how: see above.
        begin, end: fractions of training: of 30 epochs, 0.4 is after the 12th.
        weight: of a row of the concept, for `down_weight`.
        penalty: for `penalise`.
        pure: held-out AUC above which a latent is pure, if it is so for the concept alone.
        rows: of the training split at most, to fit a direction and to choose latents.
        seed: of what is drawn at random.
    """

    target: Bool[Tensor, " n"]  # the training rows that are dropped or weighted
    direction: Float[Tensor, " d"]
    latents: Bool[Tensor, " s"]  # that are penalised
    chosen: Tensor

    def __init__(
        self,
        *,
        concept: str,
        how: Kind,
        begin: float = 0.4,
        end: float = 0.7,
        weight: float = 0.1,
        penalty: float = 10.0,
        pure: float = PURE,
        rows: int = 8192,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= begin < end <= 1:
            raise ValueError(f"begin={begin} and end={end} are fractions of training: 0 <= begin < end <= 1.")
        if not 0 <= weight <= 1 or penalty < 0 or rows < 4:
            raise ValueError(
                f"weight={weight} lies between 0 and 1, penalty={penalty} is not negative, rows={rows} >= 4."
            )
        self.family, slash, self.name = concept.partition("/")
        if not slash:
            raise ValueError(f"concept={concept} must be a label family and one of its classes, such as digit/3.")
        self.how: Kind = how
        self.begin, self.end, self.weight, self.penalty = begin, end, weight, penalty
        self.pure, self.rows, self.seed = pure, rows, seed
        self.window = (0, 0)

    def attach_(self, d_sae: int) -> None:
        """What a checkpoint keeps: which latents are penalised, and whether they have been chosen."""
        self.register_buffer("latents", torch.zeros(d_sae, dtype=torch.bool))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.bool))

    def moments(self, total: int) -> tuple[int, int]:
        """The number of steps, of `total`, after which it begins and ends."""
        return round(self.begin * total), round(self.end * total)

    def check(self, data: Any) -> tuple[str, ...]:
        """The classes of the family; ValueError for a concept that the store's labels do not have."""
        known = data.store.classes("train")
        if self.name not in known.get(self.family, ()):
            names = [f"{family}/{name}" for family, classes in known.items() for name in classes]
            raise ValueError(f"concept={self.family}/{self.name} is none of {', '.join(names[:40]) or 'no labels'}.")
        return known[self.family]

    def fit_(self, data: Any, total: int, device: torch.device) -> None:
        """Find the concept's rows and direction; the same whenever training goes on."""
        self.window = self.moments(total)
        self.data, self.number = data, self.check(data).index(self.name)
        on = data.store.labels("train")[self.family] == self.number
        if self.how == "random_rows":
            g = torch.Generator().manual_seed(self.seed)
            on = torch.zeros_like(on).index_fill_(0, torch.randperm(len(on), generator=g)[: int(on.sum())], True)
        self.target = on.to(device)
        x = data.store.read("train", data.site, slice(0, self.rows))
        self.direction = self._direction(x, on[: self.rows]).to(device=device, dtype=x.dtype)

    def _direction(self, x: Float[Tensor, "n d"], on: Bool[Tensor, " n"]) -> Float[Tensor, " d"]:
        match self.how:
            case "class_mean":
                return directions.class_mean_direction(x, on)
            case "lda":
                return directions.lda_direction(x, on)
            case "probe":
                return directions.probe_direction(x, on)
            case "random_direction":
                return directions.random_direction(x.shape[1], seed=self.seed)
            case _:
                return torch.zeros(x.shape[1])  # nothing is taken away

    def on(self, step: int) -> bool:
        """Whether the step after so many is one of those in which something is done."""
        return self.how != "none" and self.window[0] <= step < self.window[1]

    def batch_(self, sae: SAE, batch: Acts) -> Acts:
        """The batch that is trained on; before the first one, choose the latents that are penalised."""
        if self.how in ("drop", "random_rows"):
            keep = ~self.target[batch.row]
            if not keep.any():
                raise ValueError(f"all {len(keep)} rows of a batch are to be dropped: batch_size must be larger.")
            x = batch.x[keep]
            return Acts(x, x if batch.y is batch.x else batch.y[keep], batch.row[keep])
        if self.how in ("class_mean", "lda", "probe", "random_direction"):
            x = directions.without(batch.x, self.direction)
            return Acts(x, x if batch.y is batch.x else batch.y, batch.row)
        if self.how == "penalise" and not self.chosen:
            self._choose_(sae)
        return batch

    @torch.no_grad()
    def _choose_(self, sae: SAE) -> None:
        """Which latents are pure for the concept, as in evaluation."""
        store, chosen = self.data.store, slice(0, self.rows)
        x = store.read("train", self.data.site, chosen).to(self.latents.device)
        item = store.index("train").item[chosen]
        was = sae.training
        sae.eval()
        scored = score_families(
            codes=sae.encode(x),
            labels={self.family: store.labels("train")[self.family][chosen]},
            classes={self.family: store.classes("train")[self.family]},
            groups=item if len(item.unique()) < len(item) else None,
        )
        sae.train(was)
        found = assign(scored[self.family].scores, pure=self.pure)
        self.latents.copy_(found.pure & (found.concept == self.number))
        self.chosen.fill_(True)

    def losses(self, sae: SAE, s: Step, row: Int[Tensor, " b"]) -> dict[str, Tensor]:
        """Named terms as those of the SAE, of a batch that `batch_` has given."""
        if self.how == "down_weight":
            return self._weighted(sae, s, self.target[row])
        terms = sae.losses(s)
        if self.how == "penalise":
            terms["ablation"] = self.penalty * s.weighted_total(s.f.abs(), self.latents.to(s.f.dtype))
        return terms

    def _weighted(self, sae: SAE, s: Step, on: Bool[Tensor, " b"]) -> dict[str, Tensor]:
        parts = [(rows, w) for rows, w in ((~on, 1.0), (on, self.weight)) if rows.any()]
        found = [
            ({n: v * (w * rows.sum() / len(rows)) for n, v in sae.losses(rows_of(s, rows)).items()})
            for rows, w in parts
        ]
        return {name: torch.stack([terms[name] for terms in found]).sum() for name in found[0]}
