"""The arrays behind a report's image grids: examples with reconstructions, and a gallery of latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab.analysis.top_examples import top_examples

Arrays = dict[str, Tensor | np.ndarray | list[str]]


def examples_arrays(
    *,
    images: Float[Tensor, "n ..."],
    label: Sequence[str],
    act: Float[Tensor, "n d"],
    recon: Float[Tensor, "n d"],
    mean: Float[Tensor, " d"],
    pred_orig: Sequence[str] = (),
    pred_recon: Sequence[str] = (),
) -> Arrays:
    """A few inputs with their activations, reconstructions and what the base net says to either.

    Each row's EV is 1 - ||x - x_hat||^2 / ||x - mean||^2, `mean` that of the whole store.
    """
    ev = 1 - (act - recon).square().sum(1) / (act - mean).square().sum(1).clamp(min=1e-12)
    arrays: Arrays = {"images": pixels(images), "label": list(label), "act": act, "recon": recon, "ev": ev}
    if pred_orig:
        arrays |= {"pred_orig": list(pred_orig), "pred_recon": list(pred_recon)}
    return arrays


def latents_arrays(
    *,
    codes: Float[Tensor, "n s"],
    concepts: Sequence[Mapping[str, Any]],
    images_of: Callable[[Int[Tensor, " m"]], Float[Tensor, "m ..."]],
    label_of: Callable[[Int[Tensor, " m"], str], Sequence[str]],
    item: Int[Tensor, " n"] | None = None,
    k: int = 9,
) -> Arrays:
    """Per row of the concepts table, the `k` inputs that most activate its best latent.

    images_of: item numbers to images in [0, 1]. label_of: item numbers and a family to the names of their classes.
    Concepts without a living latent are left out; places where the latent fires on fewer than k inputs are blank.
    """
    living = [row for row in concepts if row["best_latent"] >= 0]
    if not living:
        raise ValueError("no concept has a living latent: there is no gallery to draw (are all codes zero?)")
    latents = torch.tensor([row["best_latent"] for row in living], device=codes.device)
    top = top_examples(codes, latents=latents, k=k, item=item)
    shown = top.item.clamp(min=0)  # blanks borrow item 0's image and are wiped below
    images = pixels(images_of(shown.flatten())).unflatten(0, shown.shape).clone()
    images[(top.item < 0).to(images.device)] = 1.0  # blank paper
    names = [label_of(items, row["family"]) for items, row in zip(shown, living, strict=True)]
    silent = (top.item < 0).tolist()
    label = [["" if s else n for n, s in zip(*pair, strict=True)] for pair in zip(names, silent, strict=True)]
    return {
        "images": images,
        "value": top.value,
        "item": top.item,
        "latent": latents,
        "concept": [f"{row['family']}: {row['concept']}" for row in living],
        "auc": np.array([row["best_latent_auc"] for row in living], dtype=np.float64),
        "label": np.array(label, dtype=np.str_),
    }


def pixels(images: Float[Tensor, "n ..."]) -> Float[Tensor, "n h w *rgb"]:
    """Images as `[n, h, w]` (grey) or `[n, h, w, 3]` (colour) in [0, 1]; values outside are clipped."""
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = images[:, 0] if images.shape[1] == 1 else images.permute(0, 2, 3, 1)
    elif images.ndim != 3:
        raise ValueError(f"images of shape {tuple(images.shape)}: give [n, h, w], [n, 1, h, w] or [n, 3, h, w]")
    return images.float().clamp(0, 1)
