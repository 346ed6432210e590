"""What a store is on disk.

    <store>/meta.json                                    written last and atomically: its presence means complete
    <store>/<split>/acts/<site>/00000.safetensors        `acts`: [rows, d] float32, float16 or bfloat16
    <store>/<split>/index/00000.safetensors              `item`, `position`: [rows] int64
    <store>/<split>/labels/00000.safetensors             per label family: [rows] int64 or [rows, f] float32

Shard number i of every folder of a split holds the same rows in the same order. `item` is the item's number in its
split of the source; `position` is the row's token, patch or pixel in that item, or -1 where the row stands for the
whole item. In a folder's name the `:` of a site is spelled `@`.

Files are checked with CRC-32: it finds every error within 32 neighbouring bits and all but one in 4e9 others, it is in
the standard library, and at several GB/s it costs less than reading. It guards against accidents, not against malice.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = 1
META, PROGRESS, LOCK = "meta.json", "progress.jsonl", ".lock"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Stats:
    """Of one site over the rows of one split, as stored: `mean` [d], `square` E‖x‖², `variance` E‖x-mean‖²."""

    mean: list[float]
    square: float
    variance: float


@dataclass(frozen=True)
class Split:
    """One split: its number of rows, the rows of each shard, and the statistics of each site."""

    rows: int
    shards: list[int]
    stats: dict[str, Stats]


@dataclass(frozen=True)
class Meta:
    """Everything `meta.json` says.

    request: what was asked of the extraction or import: sites, tokens, dtype, splits and their items.
    sites: width of each. families: per label family `width` (0 for classes) and `names`.
    files: per file, relative to the store, its size in `bytes` and its `crc32`.
    """

    format: int
    hash: str
    recipe: dict[str, Any]
    request: dict[str, Any]
    source: str
    dtype: str
    sites: dict[str, int]
    families: dict[str, dict[str, Any]]
    splits: dict[str, Split]
    files: dict[str, dict[str, int]]
    created: str
    git: str | None
    versions: dict[str, str]


def recipe_hash(recipe: dict[str, Any]) -> str:
    """The name of a recipe: the first 12 hex digits of the SHA-256 of its canonical JSON."""
    try:
        text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a recipe must be plain JSON: {error}; got {recipe!r}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def shard_file(split: str, group: str, number: int) -> str:
    """Path of a shard inside its store; `group` is `index`, `labels` or `acts/<site>`."""
    return f"{split}/{group.replace(':', '@')}/{number:05d}.safetensors"


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader or a crash sees either all of it or none."""
    part = path.with_name(path.name + ".tmp")
    with open(part, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> dict[str, int]:
    """Write a safetensors file atomically; returns its size and checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".tmp")
    save_file(tensors, part)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    entry = {"bytes": part.stat().st_size, "crc32": checksum(part)}
    os.replace(part, path)
    return entry


def map_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, memory-mapped: nothing is read before it is touched. Opening takes 0.1 ms."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def write_meta(path: Path, meta: Meta) -> None:
    """Declare the store complete."""
    write_text(path / META, json.dumps(asdict(meta), indent=1, allow_nan=False))


def read_meta(path: Path) -> Meta:
    """Read `meta.json`; a `ValueError` says whether the store is missing, unfinished, foreign or of another format."""
    if not (path / META).is_file():
        if (path / PROGRESS).is_file():
            raise ValueError(f"{path} is an unfinished store; run the same extraction again and it goes on from there")
        raise ValueError(f"{path} is not a store: {'it has no ' + META if path.is_dir() else 'no such directory'}")
    try:
        content = json.loads((path / META).read_text())
        version = content["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path / META} does not describe a store; delete {path} and extract again") from None
    if version != FORMAT:
        raise ValueError(f"{path} has store format {version}, this version reads {FORMAT}; extract it again")
    try:
        splits = {
            name: Split(s["rows"], s["shards"], {site: Stats(**v) for site, v in s["stats"].items()})
            for name, s in content.pop("splits").items()
        }
        return Meta(**content, splits=splits)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path / META} is damaged ({error}); delete {path} and extract again") from None
