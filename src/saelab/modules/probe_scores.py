"""How well a probe predicts classes, as a table's rows."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional import classification as tm

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


def score_table(
    family: str, classes: tuple[str, ...], scores: list[dict[str, Tensor]], train: dict[str, Tensor]
) -> list[dict]:
    """Rows `test` (the problem trained on the whole training part), `cv` (mean and population std over folds) and
    `train` (that problem on the rows it was trained on)."""
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
        rows.append({"family": family, "class": name, "split": "train"})
        rows[-1] |= {metric: float(train[metric][i]) for metric in METRICS} | {"n": int(train["n"][i])}
    return rows
