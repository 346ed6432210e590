"""What is asked of a trained network, SAE or probe; answers go to `figures/` as tables and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

from saelab.analysis.arrays import examples_arrays, latents_arrays, pixels
from saelab.analysis.save import write_csv, write_npz
from saelab.analysis.splice import Edit, splice_scores
from saelab.analysis.tables import concepts_table, confusion_table, density_table, probe_metrics, probe_table
from saelab.commands.feed import Feed
from saelab.config.compose import plain
from saelab.data import Combined, Family, Source
from saelab.modules import ClassifierModule, ProbeModule, SAEModule
from saelab.modules.probe import probe
from saelab.run import Run, load_sae
from saelab.sae import SAE
from saelab.store import Store, rows, splice, unrows

Metrics = dict[str, float]
SPLIT = "test"  # of the store: rows that neither the base network nor the SAE has seen
MAX_ROWS = 50_000  # more would not change a probe, and all its features are in memory at once
SHOWN = 12  # example images in a report


@torch.no_grad()
def examine_classifier(cfg: DictConfig, run: Run, module: ClassifierModule, source: Source) -> None:
    """The confusion of a single-label classifier, and a contact sheet of its source."""
    figures = run.path / "figures"
    module.eval().to(source.device)
    write_npz(figures / "source.npz", contact_sheet(source))
    classes = _target_classes(source)
    single = not source.batch(SPLIT, torch.zeros(1, dtype=torch.long)).y.is_floating_point()
    if single:
        pairs = [(module(b.x).argmax(1).cpu(), b.y.cpu()) for b in source.loader(SPLIT)]
        predicted, target = (torch.cat(column) for column in zip(*pairs, strict=True))
        write_csv(figures / "confusion.csv", confusion_table(predicted=predicted, target=target, classes=classes))


def contact_sheet(source: Source, split: str = SPLIT, most: int = 40) -> Mapping[str, Any]:
    """The first inputs of a split with their labels, and what each is the sum of."""
    index = torch.arange(min(most, source.size(split)))
    if isinstance(source, Combined):
        source.keep_parts, kept = True, source.keep_parts
        batch = source.batch(split, index)
        source.keep_parts = kept
    else:
        batch = source.batch(split, index)
    label = [_describe(batch.labels, source.families, i) for i in range(len(index))]
    parts = {f"part_{name}": pixels(batch.parts[name]) for name in getattr(source, "components", {})}
    return {"images": pixels(images_of(source, split)(index)), "label": label, **parts}


def examine_sae(cfg: DictConfig, run: Run, module: SAEModule, given: Feed) -> Metrics:
    """Density, what the base network keeps, probes on raw activations and codes, the concepts table, the galleries."""
    figures, sae = run.path / "figures", module.sae.cpu().eval()
    table = module.tables[SPLIT]
    write_csv(figures / "density.csv", density_table(**{name: value.cpu() for name, value in table.items()}))
    metrics = _recovered(cfg, sae, given)
    sample = Sample(given, sae)
    if cfg.probe is not None and sample.families:
        with Console().status("probing"):
            rows_of = {
                "raw": _probe(cfg.probe, sample, sample.x),
                "codes": _probe(cfg.probe, sample, sample.codes),
            }
        write_csv(figures / "probes.csv", probe_table(rows_of))
        metrics |= probe_metrics(rows_of)
        concepts = concepts_table(
            codes=sample.codes, labels=sample.labels, families=sample.families, probe_rows=rows_of, seed=cfg.seed
        )
        write_csv(figures / "concepts.csv", concepts)
        if given.source is not None and any(row["best_latent"] >= 0 for row in concepts):
            write_npz(figures / "latents.npz", _latents(sample, given.source, concepts))
    if given.source is not None:
        write_npz(figures / "examples.npz", _examples(cfg, given, sae))
    return metrics


def examine_probe(cfg: DictConfig, run: Run, given: Feed) -> Metrics:
    """Probes alone: on raw activations, or on the codes of the SAE that `sae` names."""
    sae = load_sae(cfg.sae) if cfg.sae else None
    sample = Sample(given, sae)
    name = "raw" if sae is None else "codes"
    features = sample.x if sae is None else sample.codes
    if cfg.latents is not None:
        features = features[:, list(cfg.latents)]
    rows_of = {name: _probe(cfg.model, sample, features)}
    write_csv(run.path / "figures" / "probes.csv", probe_table(rows_of))
    return probe_metrics(rows_of)


class Sample:
    """Held-out rows of a store with their codes: the first `MAX_ROWS`, which are random ones."""

    def __init__(self, given: Feed, sae: SAE | None) -> None:
        store = given.store
        chosen = slice(0, MAX_ROWS)
        self.x = store.read(SPLIT, given.site, chosen)
        self.item = store.index(SPLIT).item[chosen]
        self.labels = {name: y[chosen] for name, y in store.labels(SPLIT).items()}
        known = families(store, given.source)
        self.families = {n: f for n, f in known.items() if n in self.labels and (f.classes or f.factors)}
        self.codes = torch.empty(0) if sae is None else encode(sae, self.x)


@torch.no_grad()
def encode(sae: SAE, x: Tensor, batch_size: int = 4096) -> Tensor:
    """Codes of many rows."""
    return torch.cat([sae.encode(part) for part in x.split(batch_size)])


def families(store: Store, source: Source | None) -> dict[str, Family]:
    """The label families of a store, with the names of their classes where those are known."""
    if source is not None:
        return dict(source.families)
    found = {}
    for name, y in store.labels(SPLIT).items():
        if not y.is_floating_point() and y.ndim == 1:
            found[name] = Family(classes=tuple(str(c) for c in range(int(y.max()) + 1)))
    return found


def _probe(config: DictConfig, sample: Sample, features: Tensor) -> list[dict[str, Any]]:
    module: ProbeModule = instantiate(config, _convert_="all")
    groups = sample.item if len(sample.item.unique()) < len(sample.item) else None
    return probe(module=module, features=features, labels=sample.labels, families=sample.families, groups=groups)


def _recovered(cfg: DictConfig, sae: SAE, given: Feed) -> Metrics:
    """Loss and accuracy of the base network with the reconstruction in the site's place, over the whole split."""
    if given.net is None or given.source is None:
        return {}
    given.source.batch_size = 1024
    with Console().status("splicing the reconstruction into the base network"):
        found = splice_scores(given.net, given.source.loader(SPLIT), at_site(cfg, given), sae)
    return {f"{SPLIT}/{name}": value for name, value in found.scores().items()}


def at_site(cfg: DictConfig, given: Feed) -> Callable[[Edit], AbstractContextManager[Any]]:
    """Where an edit of rows `[n, d]` goes: the tokens of the site that the store holds."""
    assert given.net is not None
    net, tokens = given.net, plain(cfg.store.tokens)

    def at(edit: Edit) -> AbstractContextManager[Any]:
        return splice(net, given.site, lambda x: unrows(edit(rows(x, tokens).x), x, tokens))

    return at


@torch.no_grad()
def _examples(cfg: DictConfig, given: Feed, sae: SAE) -> Mapping[str, Any]:
    """The first items of the split: what the base network makes of the activations, and of their reconstructions."""
    source, net = given.source, given.net
    assert source is not None and net is not None
    item = given.store.index(SPLIT).item
    row = torch.stack([(item == i).nonzero()[0, 0] for i in range(min(SHOWN, source.size(SPLIT)))])
    index = item[row]
    act = given.store.read(SPLIT, given.site, row)
    recon = sae(act)
    batch = source.batch(SPLIT, index)
    single = not batch.y.is_floating_point()
    classes = _target_classes(source)
    original = net(batch.x)
    with at_site(cfg, given)(sae):
        spliced = net(batch.x)
    return examples_arrays(
        images=images_of(source, SPLIT)(index),
        label=[_describe(batch.labels, source.families, i) for i in range(len(index))],
        act=act,
        recon=recon,
        mean=given.store.mean("train", given.site).float(),
        pred_orig=[_names(r, classes, single) for r in original],
        pred_recon=[_names(r, classes, single) for r in spliced],
    )


def _latents(sample: Sample, source: Source, concepts: list[dict[str, Any]]) -> Mapping[str, Any]:
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


def _target_classes(source: Source) -> list[str]:
    named = {name: family.classes for name, family in source.families.items() if family.classes}
    if len(named) == 1:
        return list(next(iter(named.values())))
    return [f"{name} {c}" for name, classes in named.items() for c in classes]


def _describe(labels: Mapping[str, Tensor], known: Mapping[str, Family], i: int) -> str:
    classes = {name: known[name].classes[int(y[i])] for name, y in labels.items() if known[name].classes}
    return next(iter(classes.values())) if len(classes) == 1 else " ".join(f"{n} {c}" for n, c in classes.items())


def _names(logits: Tensor, classes: list[str], single: bool) -> str:
    if single:
        return classes[int(logits.argmax())]
    return " ".join(classes[int(i)] for i in (logits > 0).nonzero().squeeze(1)) or "nothing"
