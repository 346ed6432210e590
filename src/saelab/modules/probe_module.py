"""Logistic regressions of label families on features, as a LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import lightning as L
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from saelab.data.source import Family
from saelab.modules.probe_data import ProbeBatch, ProbeData
from saelab.modules.probe_scores import evaluate, score_table
from saelab.modules.probe_split import stratified_folds
from saelab.modules.standardise import standardisation

ABSENT = -1e4  # the logit of a class that a problem has never seen: probability 0, gradient 0, and still finite


class ProbeModule(L.LightningModule):
    """Logistic regressions for every label family and every cross-validation fold, trained as one batched problem.

    For each family and each problem p (the folds, then the whole training part), with features x standardised by the
    training part's statistics:

        L_p = mean_{i in p} loss(x_i W_p + b_p, y_i) + ||W_p||^2 / (2 c n_p)

    where `loss` is the softmax cross-entropy (`multinomial`) or the sum over classes of the logistic loss (`ovr`).
    That is scikit-learn's LogisticRegression(C=c), divided by c n_p; W_p is [d, classes] and the intercept is free.
    The problems share one product x W [n, d] x [d, problems * classes], with masks for who sees which row;
    standardisation is folded into W, so the features are never copied.

    mode: `multinomial` predicts the likeliest class; `ovr` asks one yes-or-no question per class.
    folds, test_fraction, seed: the split; see `stratified_folds`.
    c: inverse strength of the penalty. tol: training stops when no gradient entry is larger.
    optimizer: from parameters to an optimizer; None is L-BFGS with 20 iterations (and a line search) an epoch.
    """

    kind = "probe"

    W: nn.Parameter  # [d, problems, classes], for standardised features
    b: nn.Parameter  # [problems, classes]
    mean: Tensor  # [families, d]
    scale: Tensor  # [families, d]
    part: Tensor  # [n, families]: see stratified_folds
    present: Tensor  # [problems, classes]: has this problem a training row of this class?

    def __init__(
        self,
        *,
        mode: Literal["multinomial", "ovr"] = "multinomial",
        folds: int = 5,
        test_fraction: float = 0.2,
        c: float = 1.0,
        tol: float = 1e-4,
        seed: int = 0,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    ) -> None:
        super().__init__()
        if mode not in ("multinomial", "ovr"):
            raise ValueError(f"mode={mode!r}: choose multinomial or ovr")
        if folds < 2:
            raise ValueError(f"folds={folds}: cross-validation needs at least 2")
        if not 0 < test_fraction < 1:
            raise ValueError(f"test_fraction={test_fraction}: choose it between 0 and 1")
        if c <= 0:
            raise ValueError(f"c={c}: the inverse penalty must be positive")
        self.mode, self.folds, self.test_fraction, self.seed = mode, folds, test_fraction, seed
        self.c, self.tol, self.converged = c, tol, False
        self.make_optimizer = optimizer or partial(
            torch.optim.LBFGS, max_iter=20, tolerance_grad=tol, history_size=10, line_search_fn="strong_wolfe"
        )
        self.families: dict[str, Family] = {}
        self._rows: list[dict] = []

    # ------------------------------------------------------------------------------------------------ the problem

    def setup(self, stage: str) -> None:
        """Size the weights after the data; a new fit starts from zero."""
        if stage == "fit" or not self.families:
            data: ProbeData = self.trainer.datamodule  # type: ignore[attr-defined]
            self.build(data)

    def build(self, data: ProbeData) -> None:
        x, y = data.batch
        self.families = data.families
        split = partial(stratified_folds, folds=self.folds, test_fraction=self.test_fraction, seed=self.seed)
        part = torch.stack([split(column, groups=data.groups) for column in y.T], dim=1)
        stats = [standardisation(x, (p >= 0) & (p < self.folds)) for p in part.T]
        present = [
            ((y[:, f, None] == torch.arange(len(family.classes), device=y.device))[:, None] & rows[..., None]).any(0)
            for f, (family, rows) in enumerate(zip(self.families.values(), self.training_rows(part), strict=True))
        ]
        classes = sum(len(family.classes) for family in self.families.values())
        self.W = nn.Parameter(x.new_zeros(x.shape[1], self.folds + 1, classes))
        self.b = nn.Parameter(x.new_zeros(self.folds + 1, classes))
        self.register_buffer("mean", torch.stack([mean for mean, _ in stats]))
        self.register_buffer("scale", torch.stack([scale for _, scale in stats]))
        self.register_buffer("present", torch.cat(present, dim=1))
        self.register_buffer("part", part, persistent=False)

    def training_rows(self, part: Int[Tensor, "n f"]) -> Bool[Tensor, "f n p"]:
        """Who trains on which row: problem p < folds on every fold but p, the last problem on all of them."""
        problem = torch.arange(self.folds + 1, device=part.device)
        in_training = (part >= 0) & (part < self.folds)
        return (in_training[..., None] & (part[..., None] != problem)).transpose(0, 1)

    def columns(self) -> dict[str, slice]:
        """Where each family's classes lie along the last axis of W."""
        ends = torch.tensor([len(family.classes) for family in self.families.values()]).cumsum(0).tolist()
        return {
            name: slice(end - len(family.classes), end)
            for end, (name, family) in zip(ends, self.families.items(), strict=True)
        }

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n p c"]:
        """Logits of every problem and class; the standardisation is applied to the weights."""
        sizes = torch.tensor([len(family.classes) for family in self.families.values()], device=x.device)
        scale, mean = (stat.repeat_interleave(sizes, dim=0).T[:, None] for stat in (self.scale, self.mean))
        w = self.W / scale
        b = self.b - (mean * w).sum(0)
        logits = (x @ w.flatten(1)).unflatten(1, b.shape) + b
        return logits.masked_fill(~self.present, ABSENT)

    # --------------------------------------------------------------------------------------------------- training

    def training_step(self, batch: ProbeBatch, batch_idx: int) -> Tensor:
        logits = self(batch.x)
        loss = logits.new_zeros(())
        for f, (columns, rows) in enumerate(zip(self.columns().values(), self.training_rows(self.part), strict=True)):
            n = rows.sum(0).clamp(min=1)
            each = self.row_losses(logits[..., columns], batch.y[:, f])
            loss = loss + (each * rows / n).sum() + self.penalty(self.W[..., columns], n)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=1)
        return loss

    def row_losses(self, logits: Float[Tensor, "n p c"], y: Int[Tensor, " n"]) -> Float[Tensor, "n p"]:
        y = y.clamp(min=0)  # rows without a label are masked by the caller
        if self.mode == "multinomial":
            return -logits.log_softmax(-1).gather(-1, y[:, None, None].expand(-1, logits.shape[1], 1)).squeeze(-1)
        onehot = F.one_hot(y, logits.shape[-1])[:, None].expand_as(logits).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, onehot, reduction="none").sum(-1)

    def penalty(self, w: Float[Tensor, "d p c"], n: Int[Tensor, " p"]) -> Tensor:
        # Two softmax columns share a binary problem's weight vector (w/2, -w/2), which halves its penalty; doubling
        # gives the single-logit binary regression, as in scikit-learn.
        factor = 2 if self.mode == "multinomial" and w.shape[-1] == 2 else 1
        return (factor * w.square().sum((0, 2)) / (2 * self.c * n)).sum()

    def on_train_batch_end(self, outputs: object, batch: ProbeBatch, batch_idx: int) -> None:
        gradient = max(float(p.grad.abs().max()) for p in (self.W, self.b) if p.grad is not None)
        self.converged = gradient <= self.tol
        if self.converged:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.parameters())

    # ------------------------------------------------------------------------------------------------- evaluation

    def test_step(self, batch: ProbeBatch, batch_idx: int) -> None:
        logits = self(batch.x)
        self._rows = []
        for f, (name, columns) in enumerate(self.columns().items()):
            scores = []
            for p in range(self.folds + 1):  # problem p was not shown part p
                rows = self.part[:, f] == p
                scores.append(evaluate(logits[rows, p, columns], batch.y[rows, f], self.mode))
            own = (self.part[:, f] >= 0) & (self.part[:, f] < self.folds)
            train = evaluate(logits[own, -1, columns], batch.y[own, f], self.mode)
            self._rows += score_table(name, self.families[name].classes, scores, train)
            self.log(f"probe/{name}/acc", scores[-1]["accuracy"][0], batch_size=1)

    def results(self) -> list[dict]:
        """Rows of family, class (`all` or a name), split, the scores and n: see `score_table`."""
        if not self._rows:
            raise ValueError("no results yet: call trainer.fit and then trainer.test with this module and its data")
        return self._rows
