"""How well is a class told from one latent alone?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from saelab.analysis.logistic import ABSENT, logistic_regressions

ENTRIES = 2**21  # latents · rows · classes of regressions solved at a time: about 300 MB of scratch


class SingleLatent(NamedTuple):
    """Accuracy of a multinomial logistic regression on each latent alone; nan for one dead on the training part.

    test, train: trained on all folds.  cv, cv_std: mean and population std over folds, each by the others.
    """

    test: Float[Tensor, " s"]
    train: Float[Tensor, " s"]
    cv: Float[Tensor, " s"]
    cv_std: Float[Tensor, " s"]


def single_latent_probes(
    codes: Float[Tensor, "n s"],
    y: Int[Tensor, " n"],
    *,
    classes: int,
    part: Int[Tensor, " n"],
    folds: int,
    c: float = 1.0,
) -> SingleLatent:
    """Fit every latent, standardised over the training part, with scikit-learn's LogisticRegression(C=c).

    part: 0..folds-1 are the training part, `folds` the test part, -1 rows without a label, as `stratified_folds` deals
    them. The rows on which a latent is zero are one weighted row, so the time goes with the non-zero codes.
    """
    labelled = part >= 0
    codes, y, part = codes[labelled], y[labelled], part[labelled]
    alive = (codes[part < folds] != 0).any(0) & ~codes.isnan().any(0)
    count = (codes != 0).sum(0)
    found = torch.full((4, codes.shape[1]), torch.nan, dtype=torch.float64)
    latents = count.masked_fill(~alive, -1).argsort()[int((~alive).sum()) :]  # those of like density together
    while len(latents):
        width = max(1, ENTRIES // (classes * (int(count[latents[-1]]) + 1)))  # the densest of those left go first
        now, latents = latents[-width:], latents[:-width]
        found[:, now.cpu()] = _accuracies(codes[:, now], y, classes, part, folds, c).cpu()
    return SingleLatent(*found)


def _accuracies(
    codes: Float[Tensor, "n g"], y: Int[Tensor, " n"], classes: int, part: Int[Tensor, " n"], folds: int, c: float
) -> Float[Tensor, "4 g"]:
    x, cells = entries(codes, y, classes, part, folds + 1)
    scale, mean = torch.std_mean(codes[part < folds].double(), dim=0, correction=0)
    x = (x - mean[:, None]) / scale.where(scale > 0, 1.0)[:, None]

    def score(trained: Bool[Tensor, " p"], tested: Bool[Tensor, " p"]) -> Float[Tensor, " g"]:
        t = cells[..., trained].sum(-1)
        W = logistic_regressions(x[..., None], t, c=c)
        logits = (x[..., None] * W[:, :1] + W[:, 1:]).masked_fill(t.sum(1, keepdim=True) == 0, ABSENT)
        asked = cells[..., tested].sum(-1)
        return asked.gather(2, logits.argmax(2, keepdim=True)).sum((1, 2)) / asked.sum((1, 2))

    of = torch.arange(folds + 1, device=codes.device)
    cv = torch.stack([score((of != k) & (of < folds), of == k) for k in range(folds)])
    return torch.stack(
        [score(of < folds, of == folds), score(of < folds, of < folds), cv.mean(0), cv.std(0, correction=0)]
    )


def entries(
    codes: Float[Tensor, "n g"], y: Int[Tensor, " n"], classes: int, part: Int[Tensor, " n"], parts: int
) -> tuple[Float[Tensor, "g m"], Float[Tensor, "g m classes parts"]]:
    """Each latent's values, the non-zero ones and last the zero, and how many rows of each class and part have them."""
    most = int((codes != 0).sum(0).max())
    row = (codes == 0).T.to(torch.uint8).sort(dim=1, stable=True).indices[:, :most]
    value = codes.T.gather(1, row).double()
    cell = F.one_hot(y * parts + part, classes * parts).double()
    each = cell[row] * (value != 0)[..., None]
    zero = cell.sum(0) - each.sum(1)
    cells = torch.cat([each, zero[:, None]], dim=1).unflatten(2, (classes, parts))
    return F.pad(value, (0, 1)), cells


def single_latent_summary(s: SingleLatent) -> dict[str, float]:
    """Of the test accuracies of latents that could be scored; the others are counted."""
    test = s.test[~s.test.isnan()]
    if not len(test):
        return {"scored": 0.0, "unscored": float(len(s.test))}
    return {
        "scored": float(len(test)),
        "unscored": float(len(s.test) - len(test)),
        "top": float(test.max()),
        "mean": float(test.mean()),
        "median": float(test.quantile(0.5)),
        "std": float(test.std(correction=0)),
        "above_0.1": float((test > 0.1).sum()),
        "above_0.5": float((test > 0.5).sum()),
        "top10": float(test.topk(min(10, len(test))).values.mean()),
    }
