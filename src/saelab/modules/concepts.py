"""Concepts while an SAE is trained: when each is recovered, and whether it is lost again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning as L
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab import metrics
from saelab.analysis.concept_scores import recovery_rows, score_families
from saelab.analysis.retention import retention
from saelab.analysis.selectivity import PURE, SELECTIVE
from saelab.modules.concept_files import Dynamics, Row
from saelab.modules.pack import PackModule
from saelab.modules.sae import SAEModule


class ConceptDynamics(L.Callback):
    """Score every latent as a detector of every labelled class, again and again on the same held-out rows.

    Writes `concept_dynamics.csv`, a row per step, family and concept with what `recovery_rows` and `retention` say of
    it; and `concept_dynamics_summary.csv`, a row per step with `l0`, `ev` and `dead` on these rows and the numbers of
    concepts `recovered_<family>` and `detected_<family>`. Weights are those that validation would see, and nothing of
    training changes. A continued run forgets what was written after its checkpoint. Only SAEs are looked at; each of a
    pack has files of its own. One with an `Ablation` is looked at where that begins and ends, too.

    Args:
        save_dir: where the files go; the run's figures, and one folder per member of a pack.
        rows: of the validation split at most; half of them choose a latent, the other half score it.
        times: at how many steps: half of them at equal distances, half at equal ratios; besides step 0. At most a
            thirty-second of all, but the first and the last one always.
        every: instead of `times`, steps or epochs from one to the next.
        unit: which of the two `every` counts.
        selective, pure: held-out AUC above which a latent detects a class; and above which, for that class alone, it
            recovers it.
    """

    def __init__(
        self,
        *,
        save_dir: str | Sequence[str],
        rows: int = 1024,
        times: int = 20,
        every: int | None = None,
        unit: Literal["step", "epoch"] = "step",
        selective: float = SELECTIVE,
        pure: float = PURE,
    ) -> None:
        if rows < 2 or times < 1 or (every is not None and every < 1):
            raise ValueError(f"rows={rows} must be at least 2, times={times} and every={every} positive.")
        self.folders = [Path(folder) for folder in ([save_dir] if isinstance(save_dir, str) else save_dir)]
        self.rows, self.times, self.every, self.unit = rows, times, every, unit
        self.selective, self.pure = selective, pure
        self.watched: list[tuple[SAEModule, Dynamics, set[int]]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seats = [seat.module for seat in pl_module.seats] if isinstance(pl_module, PackModule) else [pl_module]
        members = [module for module in seats if isinstance(module, SAEModule)]
        if not trainer.is_global_zero or not members:
            return
        total, step = members[0].total_steps, trainer.global_step
        gap = self.every
        if gap is not None and self.unit == "epoch":
            gap *= -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        due = moments(total, self.times) if gap is None else {*range(0, total, gap), total}
        self.held_out = HeldOut.read(trainer.datamodule, self.rows, pl_module.device)  # type: ignore[attr-defined]
        folders = [Dynamics(folder, step) for folder in self.folders]
        own = [due | (set() if m.ablation is None else {*m.ablation.moments(total)}) for m in members]
        self.watched = list(zip(members, folders, own, strict=True))

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Before the first step, which comes after initialisation from data."""
        if trainer.global_step == 0:
            self._look(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._look(trainer)

    @torch.no_grad()
    def _look(self, trainer: L.Trainer) -> None:
        step = trainer.global_step
        for module, dynamics, due in self.watched:
            if step in due and not dynamics.knows(step):
                module.on_validation_model_eval()
                with trainer.precision_plugin.val_step_context():
                    concepts, whole = self._measure(module, trainer.precision_plugin.convert_input)
                module.on_validation_model_train()
                dynamics.add({"step": step, "epoch": trainer.current_epoch}, concepts, whole)

    def _measure(self, module: SAEModule, convert: Any) -> tuple[list[Row], Row]:
        h, sae = self.held_out, module.sae
        x = convert(h.x)
        f = sae.encode(x)
        y_hat = sae.decode(f, x)
        s = metrics.sums(h.y, y_hat, f, module.centre)
        scored = score_families(codes=f, labels=h.labels, classes=h.classes, groups=h.groups)
        left = retention(scored, h.labels, h.y, y_hat, pure=self.pure)
        concepts = [
            row | left[row["family"], row["concept"]]
            for row in recovery_rows(scored, selective=self.selective, pure=self.pure)
        ]
        whole = {"l0": metrics.l0(s), "ev": metrics.explained_variance(s), "dead": metrics.dead(s)}
        counts = {
            f"{name}_{family}": sum(row[name] for row in concepts if row["family"] == family)
            for name in ("recovered", "detected")
            for family in h.classes
        }
        return concepts, {name: float(value) for name, value in whole.items()} | counts


class HeldOut(NamedTuple):
    """The rows that an SAE is looked at with: activations, a transcoder's targets, class labels and their names."""

    x: Float[Tensor, "n i"]
    y: Float[Tensor, "n o"]
    labels: dict[str, Tensor]
    classes: dict[str, tuple[str, ...]]
    groups: Int[Tensor, " n"] | None

    @classmethod
    def read(cls, data: Any, rows: int, device: torch.device) -> HeldOut:
        """The first rows of the validation split, which a store has in random order."""
        chosen, store = slice(0, rows), data.store
        x = store.read("val", data.site, chosen).to(device)
        y = x if data.target_site in (None, data.site) else store.read("val", data.target_site, chosen).to(device)
        item = store.index("val").item[chosen]
        return cls(
            x=x,
            y=y,
            labels={family: label[chosen] for family, label in store.labels("val").items()},
            classes=store.classes("val"),
            groups=item if len(item.unique()) < len(item) else None,
        )


def moments(total: int, times: int) -> set[int]:
    """Steps from 0 to `total`: about `times` besides 0, half of them at equal distances and half at equal ratios.

    Fewer in a short training, as a look costs up to three steps: a thirty-second of them, but always 0, 1 and `total`.
    """
    some = max(1, min(times, total // 32) // 2)
    even = {round(total * i / some) for i in range(some + 1)}
    return even | {round(total ** (i / some)) for i in range(some)}
