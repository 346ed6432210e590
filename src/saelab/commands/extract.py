"""`extract`: cache activations, and say where."""

from __future__ import annotations

import time

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from saelab.commands.feed import Feed, feed
from saelab.commands.outcome import shown
from saelab.config import command

console = Console(soft_wrap=True, highlight=False)


@command("extract")
def main(cfg: DictConfig) -> dict[str, float]:
    """Cache the activations of a base network at any number of sites; the network is trained if it is not there."""
    return extract(cfg)


def extract(cfg: DictConfig) -> dict[str, float]:
    """Find or make the store, and show what it holds."""
    began = time.perf_counter()
    given = feed(cfg)
    _show(given, time.perf_counter() - began)
    store = given.store
    return {f"rows/{split}": float(store.rows(split)) for split in store.splits}


def _show(given: Feed, seconds: float) -> None:
    store = given.store
    size = sum(entry["bytes"] for entry in store.meta.files.values())
    table = Table(title=f"{shown(store.path)}  {size / 1e6:.1f} MB  {store.meta.dtype}", title_justify="left")
    table.add_column("site")
    table.add_column("width", justify="right")
    for split in store.splits:
        table.add_column(f"{split} rows", justify="right")
    for site, width in store.sites.items():
        table.add_row(site, str(width), *(f"{store.rows(split):,}" for split in store.splits))
    console.print(table)
    rows = sum(store.rows(split) for split in store.splits) * len(store.sites)
    console.print(
        f"{rows:,} rows in {seconds:.1f} s, {rows / max(seconds, 1e-9):,.0f} rows/s with all that came before"
    )
