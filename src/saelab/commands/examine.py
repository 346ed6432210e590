"""What is asked of a trained network, SAE or probe; answers go to `figures/` as tables and arrays."""

from __future__ import annotations

from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

from saelab.analysis.concept_scores import score_families
from saelab.analysis.save import write_csv, write_npz
from saelab.analysis.splice import scores_without, splice_scores
from saelab.analysis.tables import (
    class_families,
    concepts_table,
    confusion_table,
    density_table,
    probe_metrics,
    probe_table,
)
from saelab.commands.concepts import examine_concepts
from saelab.commands.feed import Feed
from saelab.commands.galleries import SPLIT, at_site, contact_sheet, examples, latents, target_classes
from saelab.commands.pictures import pictures
from saelab.commands.separation import examine_separation
from saelab.commands.shared import once
from saelab.commands.truth import examine_truth
from saelab.config.compose import plain
from saelab.data import Family, Source
from saelab.modules import ClassifierModule, ProbeModule, SAEModule
from saelab.modules.probe import probe
from saelab.run import Run, load_sae
from saelab.sae import SAE
from saelab.store import Store

Metrics = dict[str, float]
MAX_ROWS = 50_000  # more would not change a probe, and all its features are in memory at once


@torch.no_grad()
def examine_classifier(cfg: DictConfig, run: Run, module: ClassifierModule, source: Source) -> None:
    """The confusion of a single-label classifier, and a contact sheet of its source."""
    figures = run.path / "figures"
    module.eval().to(source.device)
    if not source.vectors:
        write_npz(figures / "source.npz", contact_sheet(source))
    classes = target_classes(source)
    single = not source.batch(SPLIT, torch.zeros(1, dtype=torch.long)).y.is_floating_point()
    if single:
        pairs = [(module(b.x).argmax(1).cpu(), b.y.cpu()) for b in source.loader(SPLIT)]
        predicted, target = (torch.cat(column) for column in zip(*pairs, strict=True))
        write_csv(figures / "confusion.csv", confusion_table(predicted=predicted, target=target, classes=classes))


def examine_sae(cfg: DictConfig, run: Run, module: SAEModule, given: Feed) -> Metrics:
    """Density, what the base network keeps, the truth, probes on raw activations and codes, concepts, galleries."""
    figures, sae = run.path / "figures", module.sae.cpu().eval()
    table = module.tables[SPLIT]
    write_csv(figures / "density.csv", density_table(**{name: value.cpu() for name, value in table.items()}))
    metrics = _recovered(cfg, sae, given) | examine_truth(run, sae, given, table["density"].cpu())
    metrics |= examine_separation(run, sae, given)
    sample = Sample(given, sae)
    source = given.source if given.source is not None and not given.source.vectors else None
    rows_of = {}
    if cfg.probe is not None and sample.families:
        with Console().status("probing"):
            rows_of = {
                "raw": once(_raw_recipe(cfg, given, sample), lambda: _probe(cfg.probe, sample, sample.x)),
                "codes": _probe(cfg.probe, sample, sample.codes),
            }
        write_csv(figures / "probes.csv", probe_table(rows_of))
        metrics |= probe_metrics(rows_of)
    classes = class_families(sample.families)
    if classes and (rows_of or cfg.concepts is not None):
        with Console().status("scoring latents as detectors"):
            scored = score_families(
                codes=sample.codes, labels=sample.labels, classes=classes, seed=cfg.seed, groups=sample.groups
            )
            concepts = concepts_table(scored, probe_rows=rows_of)
            if cfg.concepts is not None:
                found, more = examine_concepts(run, sae, scored, cfg.concepts)
                concepts = [row | also for row, also in zip(concepts, more, strict=True)]
                metrics |= found
        write_csv(figures / "concepts.csv", concepts)
        if source is not None and any(row["best_latent"] >= 0 for row in concepts):
            write_npz(figures / "latents.npz", latents(sample, source, concepts))
    if source is not None and given.net is not None:
        write_npz(figures / "examples.npz", examples(cfg, given, sae))
    elif source is not None:
        write_npz(figures / "pictures.npz", pictures(given, sae))
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
        self.groups = self.item if len(self.item.unique()) < len(self.item) else None  # of rows that are one image's
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
    return {name: Family(classes=classes) for name, classes in store.classes(SPLIT).items()}


def _probe(config: DictConfig, sample: Sample, features: Tensor) -> list[dict[str, Any]]:
    module: ProbeModule = instantiate(config, _convert_="all")
    return probe(module=module, features=features, labels=sample.labels, families=sample.families, groups=sample.groups)


def _recovered(cfg: DictConfig, sae: SAE, given: Feed) -> Metrics:
    """Loss and accuracy of the base network with the reconstruction in the site's place, over the whole split."""
    if given.net is None or given.source is None:
        return {}
    given.source.batch_size = 1024
    with Console().status("splicing the reconstruction into the base network"):
        net, batches, at = given.net, given.source.loader(SPLIT), at_site(cfg, given)
        without = once(_site_recipe(cfg, given), lambda: scores_without(net, batches, at))
        found = splice_scores(net, batches, at, sae, without=without)
    return {f"{SPLIT}/{name}": value for name, value in found.scores().items()}


def _site_recipe(cfg: DictConfig, given: Feed) -> dict[str, Any]:
    """What determines the base network's losses without an SAE."""
    assert given.base is not None
    place = {"site": given.target or given.site, "tokens": plain(cfg.store.tokens), "split": SPLIT}
    return {"what": "splice", "base": str(given.base.path), "data": plain(cfg.data), **place}


def _raw_recipe(cfg: DictConfig, given: Feed, sample: Sample) -> dict[str, Any]:
    """What determines the probes on raw activations."""
    families = {name: [family.classes, family.factors] for name, family in sample.families.items()}
    store = {"store": str(given.store.path), "hash": given.store.meta.hash, "site": given.site}
    return {"what": "probe", **store, "families": families, "probe": plain(cfg.probe)}
