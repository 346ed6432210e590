"""Training of base networks."""

from __future__ import annotations

from typing import Any, cast

import lightning as L
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MultilabelAveragePrecision,
    MultilabelExactMatch,
    MultilabelF1Score,
)

from saelab.modules.optim import OptimizerFactory, Shape, configure, training_steps


class ClassifierModule(L.LightningModule):
    """A network trained to give a source's target: cross-entropy for classes, BCE-with-logits for float vectors.

    Logged per split: `loss` and, for classes, `acc`; for vectors `acc` is the exact match (every label right), beside
    `f1` (macro), `map` (mean average precision) and `acc_<family>`: how often the label of a family is the largest
    among that family's logits. A network that predicts nothing scores near zero on each.

    Args:
        net: the base network; `n_out` is filled in from the source.
        optimizer: a partial, called with the parameters.
        lr_warmup, lr_decay: fractions of training in which the learning rate rises and falls.
        lr_shape: how it falls.
        label_smoothing: of the cross-entropy.
    """

    kind = "classifier"
    monitor = ("val/acc", "max")

    def __init__(
        self,
        *,
        net: nn.Module,
        optimizer: OptimizerFactory,
        lr_warmup: float = 0.0,
        lr_decay: float = 0.0,
        lr_shape: Shape = "linear",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.net, self.optimizer, self.label_smoothing = net, optimizer, label_smoothing
        self.lr_warmup, self.lr_decay = lr_warmup, lr_decay
        self.lr_shape: Shape = lr_shape
        self.scores = nn.ModuleDict()
        self.slots: dict[str, tuple[int, int]] = {}

    def describe_(self, n_out: int, *, vectors: bool, slots: dict[str, tuple[int, int]]) -> None:
        """Say what the targets are: classes or vectors, and which range of a vector belongs to which family."""
        self.slots = slots if vectors else {}
        self.scores = nn.ModuleDict({f"on_{s}": _scores(n_out, vectors, self.slots) for s in ("train", "val", "test")})
        for metric in self._metrics("train").values():
            metric.persistent(True)  # an epoch that is continued from its middle is scored whole

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy for integer classes `[b]`, binary cross-entropy for float vectors `[b, c]`."""
        if y.is_floating_point():
            return F.binary_cross_entropy_with_logits(logits, y)
        return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)

    def training_step(self, batch: Any, _: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Any, _: int) -> None:
        self._step(batch, "val")

    def test_step(self, batch: Any, _: int) -> None:
        self._step(batch, "test")

    def _step(self, batch: Any, split: str) -> Tensor:
        logits = self.net(batch.x)
        loss = self.loss(logits, batch.y)
        scores = self._metrics(split)
        scores["loss"].update(loss.detach(), len(batch.y))
        target = batch.y.int() if batch.y.is_floating_point() else batch.y
        scores["all"].update(logits.detach(), target)
        for family, (start, stop) in self.slots.items():
            scores[f"acc_{family}"].update(logits.detach()[:, start:stop], batch.labels[family])
        return loss

    def _log_epoch(self, split: str) -> None:
        for name, metric in self._metrics(split).items():
            value = metric.compute()
            values = value if isinstance(value, dict) else {name: value}
            self.log_dict(
                {f"{split}/{k}": v.float() for k, v in values.items()}, prog_bar=split == "val", sync_dist=True
            )
            metric.reset()

    def _metrics(self, split: str) -> dict[str, Metric | MetricCollection]:
        return cast(dict[str, Any], self.scores[f"on_{split}"])

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    def configure_optimizers(self) -> Any:
        total = training_steps(self.trainer)
        return configure(self.parameters(), self.optimizer, total, self.lr_warmup, self.lr_decay, self.lr_shape)


def _scores(n_out: int, vectors: bool, slots: dict[str, tuple[int, int]]) -> nn.ModuleDict:
    if not vectors:
        every = MetricCollection({"acc": MulticlassAccuracy(n_out, average="micro")})
    else:
        every = MetricCollection(
            {
                "acc": MultilabelExactMatch(n_out),
                "f1": MultilabelF1Score(n_out, average="macro"),
                "map": MultilabelAveragePrecision(n_out, thresholds=200),
            }
        )
    families = {f"acc_{f}": MulticlassAccuracy(b - a, average="micro") for f, (a, b) in slots.items()}
    return nn.ModuleDict({"loss": MeanMetric(), "all": every, **families})
