"""Linear probes: how readable is each concept from a feature matrix?"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal, NamedTuple

import lightning as L
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics.functional import classification as tm

from saelab.data.source import Family

ABSENT = -1e4  # the logit of a class that a problem has never seen: probability 0, gradient 0, and still finite


class ProbeBatch(NamedTuple):
    """Everything at once: features `[n, d]` and one column of classes per family, `[n, families]`, -1 for no label."""

    x: Float[Tensor, "n d"]
    y: Int[Tensor, "n f"]


class ProbeData(L.LightningDataModule):
    """A feature matrix with its labels, served as one full batch.

    features: `[n, d]`: raw activations, codes, or some columns of either.
    labels: per family `[n]` classes; a negative class means that the row has no label in this family.
    families: names of classes; those of continuous factors are left to `probe` and listed in `skipped`.
    groups: `[n]` numbers of what must not be split between training and test (the image a patch comes from).
    """

    def __init__(
        self,
        *,
        features: Tensor,
        labels: Mapping[str, Tensor],
        families: Mapping[str, Family],
        groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.families = {name: family for name, family in families.items() if family.classes}
        self.skipped = sorted(set(families) - set(self.families))
        if not self.families:
            raise ValueError(f"families={list(families)}: a probe needs at least one family with classes")
        for name, family in self.families.items():
            y = labels[name]
            if y.shape != features.shape[:1] or y.is_floating_point():
                raise ValueError(
                    f"labels[{name!r}]: {y.dtype} {tuple(y.shape)}; give whole numbers, one a row [{len(features)}]"
                )
            if y.max() >= len(family.classes):
                raise ValueError(f"labels[{name!r}] reach {int(y.max())}, but the family names {len(family.classes)}")
            if not (y >= 0).any():
                raise ValueError(f"labels[{name!r}] label no row: leave this family out")
        x = features.float()
        x = x.clone() if x.is_inference() else x  # autograd must be able to keep it
        self.batch = ProbeBatch(x, torch.stack([labels[n].long() for n in self.families], dim=1))
        self.groups = groups

    def train_dataloader(self) -> DataLoader[ProbeBatch]:
        # One batch, already in memory: a list is a dataset, and batch_size=None hands its items out as they are.
        return DataLoader([self.batch], batch_size=None)  # type: ignore[arg-type]

    test_dataloader = train_dataloader


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
            self._rows += score_table(name, self.families[name].classes, scores)
            self.log(f"probe/{name}/acc", scores[-1]["accuracy"][0], batch_size=1)

    def results(self) -> list[dict]:
        """Rows of family, class (`all` or a name), split, the scores and n: see `score_table`."""
        if not self._rows:
            raise ValueError("no results yet: call trainer.fit and then trainer.test with this module and its data")
        return self._rows


# ------------------------------------------------------------------------------------------------------------ the split


def stratified_folds(
    y: Int[Tensor, " n"], *, folds: int, test_fraction: float, seed: int, groups: Tensor | None = None
) -> Int[Tensor, " n"]:
    """Which part each row belongs to: 0..folds-1 of the training part, `folds` for the test part, -1 without a label.

    Rows are dealt like cards: shuffled, sorted by class, every (1/test_fraction)-th to the test part and the others
    round the folds in turn, so every part holds each class in proportion to within one row. With `groups` whole
    groups are dealt, by the class of their first row.
    """
    part = torch.full_like(y, -1)
    labelled = (y >= 0).nonzero().squeeze(1)
    key = torch.arange(len(labelled), device=y.device) if groups is None else groups.to(y.device)[labelled]
    _, group = key.unique(return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(labelled), device=y.device, dtype=torch.long)
    first.scatter_reduce_(0, group, torch.arange(len(labelled), device=y.device), "amin")

    shuffle = torch.randperm(len(first), generator=torch.Generator().manual_seed(seed)).to(y.device)
    order = shuffle[y[labelled[first[shuffle]]].argsort(stable=True)]
    dealt = torch.arange(len(order) + 1, device=y.device).mul(test_fraction).add(0.5).floor().diff() > 0
    dealt_fold = torch.where(dealt, folds, (~dealt).cumsum(0) % folds)
    part[labelled] = torch.empty_like(first).scatter_(0, order, dealt_fold)[group]
    return part


def standardisation(x: Float[Tensor, "n d"], rows: Bool[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column over `rows`; 1 for a column that is constant to rounding."""
    means, scales = [], []
    for block in x.split(max(1, 2**24 // len(x)), dim=1):  # double precision, 128 MB at a time
        var, mean = torch.var_mean(block[rows].double(), dim=0, correction=0)
        rounding = torch.finfo(x.dtype).eps * mean.abs()
        means.append(mean)
        scales.append(torch.where(var.sqrt() <= 8 * rounding, 1.0, var.sqrt()))
    return torch.cat(means).to(x.dtype), torch.cat(scales).to(x.dtype)


# ---------------------------------------------------------------------------------------------------- scores of classes


METRICS = ("accuracy", "auc", "precision", "recall", "f1")


def evaluate(logits: Float[Tensor, "n c"], y: Int[Tensor, " n"], mode: str) -> dict[str, Tensor]:
    """Each metric as `[1 + c]`: first over all classes, then one against the rest.

    A class is predicted where it is the likeliest (`multinomial`) or where its own probability exceeds 1/2 (`ovr`).
    Over all: accuracy of the likeliest class; the others are means over the classes that occur among these rows.
    A class that fills all rows or none has no AUC (nan).
    """
    c = logits.shape[1]
    # In single precision confident probabilities tie at 1, and the AUC with them; some accelerators have no other.
    logits, y = logits.cpu().double(), y.cpu()
    target = F.one_hot(y, c)
    likeliest = logits.argmax(1)
    hit = F.one_hot(likeliest, c) if mode == "multinomial" else (logits > 0).long()
    score = logits.softmax(1) if mode == "multinomial" else logits.sigmoid()
    n = target.sum(0)
    if len(y) == 0:
        return {name: torch.full((1 + c,), torch.nan) for name in METRICS} | {"n": torch.zeros(1 + c)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No (positive|negative) samples")
        auc = torch.stack([tm.binary_auroc(score[:, i], target[:, i]) for i in range(c)])
    per_class = {
        "accuracy": tm.multilabel_accuracy(hit, target, c, average="none").reshape(-1),
        "auc": torch.where((n > 0) & (n < len(y)), auc, torch.nan),
        "precision": tm.multilabel_precision(hit, target, c, average="none").reshape(-1),
        "recall": tm.multilabel_recall(hit, target, c, average="none").reshape(-1),
        "f1": tm.multilabel_f1_score(hit, target, c, average="none").reshape(-1),
    }
    overall = {name: values[n > 0].nanmean() for name, values in per_class.items()}
    overall["accuracy"] = (likeliest == y).double().mean()
    out = {name: torch.cat([overall[name].reshape(1).cpu(), per_class[name].cpu()]) for name in METRICS}
    return out | {"n": torch.cat([torch.tensor([len(y)]), n.cpu()])}


def score_table(family: str, classes: tuple[str, ...], scores: list[dict[str, Tensor]]) -> list[dict]:
    """Rows `test` (the problem trained on the whole training part) and `cv` (mean and population std over folds)."""
    *cv, test = scores
    rows = []
    for i, name in enumerate(("all", *classes)):
        rows.append({"family": family, "class": name, "split": "test"})
        rows[-1] |= {metric: float(test[metric][i]) for metric in METRICS} | {"n": int(test["n"][i])}
        rows.append({"family": family, "class": name, "split": "cv"})
        for metric in METRICS:
            over = torch.stack([fold[metric][i].double() for fold in cv])
            over = over[~over.isnan()]
            rows[-1][metric] = float(over.mean()) if len(over) else float("nan")
            rows[-1][f"{metric}_std"] = float(over.std(correction=0)) if len(over) else float("nan")
        rows[-1]["n"] = int(sum(int(fold["n"][i]) for fold in cv))
    return rows


# --------------------------------------------------------------------------------------------------- continuous factors


def factor_rows(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n f"],
    *,
    part: Int[Tensor, " n"],
    folds: int,
    c: float,
    names: Sequence[str],
) -> list[dict]:
    """Rows of class (`all` or a factor), split (`test`, `cv`), r2, r2_std (cv) and n.

    w = argmin c ||y - x w - b||^2 + ||w||^2 on features standardised over the training part: scikit-learn's
    Ridge(alpha=1/c). `part` is that of `stratified_folds`; R^2 = 1 - SSE / SST within the rows tested.
    """
    y = y.double().to(x.device)
    mean, scale = standardisation(x, (part >= 0) & (part < folds))
    moments = [moment((x[part == k].double() - mean) / scale, y[part == k]) for k in range(folds)]
    r2 = []
    for p in range(folds + 1):
        seen = sum(m for k, m in enumerate(moments) if k != p)
        assert isinstance(seen, Tensor)
        w, b = solve(seen, x.shape[1], 1 / c)
        target = y[part == p]
        error = target - ((x[part == p].double() - mean) / scale) @ w - b
        r2.append(1 - error.square().sum(0) / (target - target.mean(0)).square().sum(0))
    scores = torch.stack(r2)
    scores = torch.cat([scores.mean(1, keepdim=True), scores], dim=1).cpu()  # over all factors, then each
    tested = int((part == folds).sum()), int(((part >= 0) & (part < folds)).sum())
    rows: list[dict] = []
    for i, name in enumerate(("all", *names)):
        cv = scores[:-1, i]
        rows.append({"class": name, "split": "test", "r2": float(scores[-1, i]), "n": tested[0]})
        rows.append({"class": name, "split": "cv", "r2": float(cv.mean()), "r2_std": float(cv.std(correction=0))})
        rows[-1]["n"] = tested[1]
    return rows


def moment(x: Float[Tensor, "n d"], y: Float[Tensor, "n f"]) -> Float[Tensor, "rows columns"]:
    """[x 1]^T [x 1 y], `[d+1, d+1+f]`: all that least squares needs of these rows; moments of disjoint rows add."""
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    return x.T @ torch.cat([x, y], dim=1)


def solve(m: Float[Tensor, "rows columns"], d: int, alpha: float) -> tuple[Float[Tensor, "d f"], Float[Tensor, " f"]]:
    """Weights and intercept; the intercept is not penalised, so it is eliminated first."""
    n, sx, sy = m[d, d], m[:d, d], m[d, d + 1 :]
    gram = m[:d, :d] - torch.outer(sx, sx) / n + alpha * torch.eye(d, dtype=m.dtype, device=m.device)
    w = torch.linalg.solve(gram, m[:d, d + 1 :] - torch.outer(sx, sy) / n)
    return w, (sy - sx @ w) / n


# ---------------------------------------------------------------------------------------------------------- all at once


def probe(
    *,
    module: ProbeModule,
    features: Tensor,
    labels: Mapping[str, Tensor],
    families: Mapping[str, Family],
    groups: Tensor | None = None,
    accelerator: str = "cpu",
    max_epochs: int = 50,
) -> list[dict]:
    """Probe every family and return all rows: classes by `module`, continuous factors by ridge regression.

    Rows of class families are `module.results()`; rows of factors have `r2` in place of the other scores.
    """
    rows = []
    if any(family.classes for family in families.values()):
        data = ProbeData(features=features, labels=labels, families=families, groups=groups)
        with silence():
            trainer = L.Trainer(
                accelerator=accelerator,
                devices=1,
                max_epochs=max_epochs,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, data)
            trainer.test(module, data, verbose=False)
        rows += module.results()
        if not module.converged:
            warnings.warn(
                f"Probes stopped after {max_epochs} epochs with a gradient above tol={module.tol}; raise either.",
                stacklevel=2,
            )
    for name, family in families.items():
        if family.factors:
            part = stratified_folds(
                torch.where(labels[name].isnan().any(1), -1, 0),
                folds=module.folds,
                test_fraction=module.test_fraction,
                seed=module.seed,
                groups=groups,
            )
            scores = factor_rows(
                features, labels[name], part=part, folds=module.folds, c=module.c, names=family.factors
            )
            rows += [{"family": name} | row for row in scores]
    return rows


@contextmanager
def silence() -> Iterator[None]:
    """A trainer inside a command has nothing to add to what the command says."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in ("does not have many workers", "available but not used", "training batches", "LeafSpec"):
                warnings.filterwarnings("ignore", message=f".*{message}.*")
            yield
    finally:
        log.setLevel(level)
