"""Making a store once, however many ask for it: reuse, lock, write, declare complete."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from saelab.store.format import DTYPES, FORMAT, LOCK, META, PROGRESS, Meta, Split, map_tensors, recipe_hash, write_meta
from saelab.store.store import Store
from saelab.store.writer import Writer


def build(
    path: Path,
    *,
    recipe: dict[str, Any],
    request: dict[str, Any],
    layout: dict[str, Any],
    source: str,
    names: dict[str, list[str]],
    fill: Callable[[Writer], None],
) -> Store:
    """The store at `path`: as it is if it is complete, else made by `fill`, which one process at a time may do.

    recipe: what the store's hash is of. request: what it must hold. layout: how its rows are cut into batches and
    shards; an unfinished store goes on with the same layout only, a complete one serves whatever its layout is.
    """
    if request["dtype"] not in DTYPES:
        raise ValueError(f"dtype={request['dtype']!r}; a store holds {', '.join(DTYPES)}")
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, and a store is a directory; choose another path")
    if (path / META).is_file():
        return _reuse(path, recipe, request)
    path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / LOCK):  # the operating system frees it when its holder dies
        if (path / META).is_file():
            return _reuse(path, recipe, request)
        header = {"recipe": recipe, "request": request, "layout": layout}
        writer = Writer(path, header=header, shard_rows=layout["shard_rows"], seed=int(recipe_hash(recipe), 16))
        fill(writer)
        write_meta(path, _describe(writer, recipe, request, source, names))
        (path / PROGRESS).unlink()
    return Store(path)


def progress_bar(*, shown: bool) -> Progress:
    """A bar over items that also says rows per second (the task's field `rate`)."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), disable=not shown,
    )  # fmt: skip


def _reuse(path: Path, recipe: dict[str, Any], request: dict[str, Any]) -> Store:
    store = Store(path)
    for what, have, want in (("recipe", store.meta.recipe, recipe), ("request", store.meta.request, request)):
        want = json.loads(json.dumps(want))
        if have != want:
            keys = [k for k in {**have, **want} if have.get(k) != want.get(k)]
            told = "; ".join(f"{k}: {have.get(k)!r} there, {want.get(k)!r} asked for" for k in keys)
            raise ValueError(f"{path} holds a store of another {what} ({told}); delete it or choose another path")
    return store


def _describe(
    writer: Writer, recipe: dict[str, Any], request: dict[str, Any], source: str, names: dict[str, list[str]]
) -> Meta:
    """What the finished shards say of themselves."""
    splits, sites, families = {}, {}, {}
    for split in request["splits"]:
        shards = [shard for shard in writer.shards if shard["split"] == split]
        stats = {site: writer.moments[split, site.replace(":", "@")].stats() for site in request["sites"]}
        splits[split] = Split(sum(s["rows"] for s in shards), [s["rows"] for s in shards], stats)
        sites = {site: len(stats[site].mean) for site in stats}
        if (labels := writer.path / split / "labels/00000.safetensors").is_file():
            for name, x in map_tensors(labels).items():
                families[name] = {"width": x.shape[1] if x.ndim == 2 else 0, "names": names.get(name, [])}
    return Meta(
        format=FORMAT,
        hash=recipe_hash(recipe),
        recipe=recipe,
        request=request,
        source=source,
        dtype=request["dtype"],
        sites=sites,
        families=families,
        splits=splits,
        files={name: entry for shard in writer.shards for name, entry in shard["files"].items()},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        git=_git_sha(),
        versions={"saelab": _version("saelab"), "torch": torch.__version__},
    )


def _version(package: str) -> str:
    return next((d.version for d in importlib.metadata.distributions(name=package)), "not installed")


def _git_sha() -> str | None:
    """The commit of the checkout this file is in, with `-dirty` if it has changes; None outside one."""
    here = Path(__file__).resolve()
    root = here.parents[3]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
