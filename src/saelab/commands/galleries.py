"""The images of a report as arrays: a contact sheet of the source, examples reconstructed, the items of a latent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from saelab.analysis.arrays import examples_arrays, latents_arrays, pixels
from saelab.analysis.splice import Edit
from saelab.commands.feed import Feed
from saelab.config.compose import plain
from saelab.data import Combined, Family, Source
from saelab.sae import SAE
from saelab.store import capture, rows, splice, unrows

if TYPE_CHECKING:
    from saelab.commands.examine import Sample

SPLIT = "test"  # of the store: rows that neither the base network nor the SAE has seen
SHOWN = 12  # example images in a report


def contact_sheet(source: Source, split: str = SPLIT, most: int = 40) -> Mapping[str, Any]:
    """The first inputs of a split with their labels, and what each is the sum of."""
    index = torch.arange(min(most, source.size(split)))
    if isinstance(source, Combined):
        source.keep_parts, kept = True, source.keep_parts
        batch = source.batch(split, index)
        source.keep_parts = kept
    else:
        batch = source.batch(split, index)
    label = [describe(batch.labels, source.families, i) for i in range(len(index))]
    parts = {f"part_{name}": pixels(batch.parts[name]) for name in getattr(source, "components", {})}
    return {"images": pixels(images_of(source, split)(index)), "label": label, **parts}


def at_site(cfg: DictConfig, given: Feed) -> Callable[[Edit], AbstractContextManager[Any]]:
    """Where an edit of rows `[n, d]` goes: the tokens of the site that the store holds, or of a transcoder's target."""
    assert given.net is not None
    net, tokens = given.net, plain(cfg.store.tokens)

    @contextmanager
    def at(edit: Edit) -> Iterator[None]:
        def replace(y: Tensor) -> Tensor:
            new = rows(y, tokens).x
            x = new if given.target is None else rows(seen[given.site], tokens).x
            return unrows(edit(x, new), y, tokens)

        with capture(net, [given.site]) as seen, splice(net, given.target or given.site, replace):
            yield

    return at


@torch.no_grad()
def examples(cfg: DictConfig, given: Feed, sae: SAE) -> Mapping[str, Any]:
    """The first items of the split: what the base network makes of the activations, and of their reconstructions."""
    source, net = given.source, given.net
    assert source is not None and net is not None
    item = given.store.index(SPLIT).item
    row = torch.stack([(item == i).nonzero()[0, 0] for i in range(min(SHOWN, source.size(SPLIT)))])
    index = item[row]
    act = given.store.read(SPLIT, given.target or given.site, row)
    recon = sae(given.store.read(SPLIT, given.site, row))
    batch = source.batch(SPLIT, index)
    single = not batch.y.is_floating_point()
    classes = target_classes(source)
    original = net(batch.x)
    with at_site(cfg, given)(lambda x, _: sae(x)):
        spliced = net(batch.x)
    return examples_arrays(
        images=images_of(source, SPLIT)(index),
        label=[describe(batch.labels, source.families, i) for i in range(len(index))],
        act=act,
        recon=recon,
        mean=given.store.mean("train", given.target or given.site).float(),
        pred_orig=[_names(r, classes, single) for r in original],
        pred_recon=[_names(r, classes, single) for r in spliced],
    )


def latents(sample: Sample, source: Source, concepts: list[dict[str, Any]]) -> Mapping[str, Any]:
    names = {name: family.classes for name, family in source.families.items()}
    of_item = {name: dict(zip(sample.item.tolist(), y.tolist(), strict=True)) for name, y in sample.labels.items()}

    def label_of(items: Tensor, family: str) -> list[str]:
        return [names[family][int(of_item[family].get(i, -1))] if i >= 0 else "" for i in items.tolist()]

    return latents_arrays(
        codes=sample.codes,
        concepts=concepts,
        images_of=images_of(source, SPLIT),
        label_of=label_of,
        item=sample.item,
    )


def images_of(source: Source, split: str) -> Callable[[Tensor], Tensor]:
    """Item numbers to images in [0, 1]."""

    def images(index: Tensor) -> Tensor:
        x = source.batch(split, index).x.cpu()
        return (x * 0.3081 + 0.1307).clamp(0, 1) if getattr(source, "normalize", False) else x

    return images


def target_classes(source: Source) -> list[str]:
    named = {name: family.classes for name, family in source.families.items() if family.classes}
    if len(named) == 1:
        return list(next(iter(named.values())))
    return [f"{name} {c}" for name, classes in named.items() for c in classes]


def describe(labels: Mapping[str, Tensor], known: Mapping[str, Family], i: int) -> str:
    """An item's class, or with several families each one's; factors are left out."""
    classes = {name: known[name].classes[int(y[i])] for name, y in labels.items() if known[name].classes}
    return next(iter(classes.values())) if len(classes) == 1 else " ".join(f"{n} {c}" for n, c in classes.items())


def _names(logits: Tensor, classes: list[str], single: bool) -> str:
    if single:
        return classes[int(logits.argmax())]
    return " ".join(classes[int(i)] for i in (logits > 0).nonzero().squeeze(1)) or "nothing"
