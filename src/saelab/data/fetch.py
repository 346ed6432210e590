"""Fetch MNIST's files from public mirrors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from saelab.data import idx

_ATTEMPTS = 2  # for each mirror
_TIMEOUT_S = 20.0
_CHUNK = 1 << 16


def fetch_missing(directory: Path, mirrors: Sequence[str]) -> None:
    """Put each of the four files that `directory` lacks there, gzipped.

    A file is tried twice on each mirror in turn and kept only if its hash is right; it appears under its name complete
    or not at all. Raises ConnectionError, in one line, when no mirror served it.
    """
    missing = [name for name in idx.SHA256 if idx.find(directory, name) is None]
    if not missing:
        return
    directory.mkdir(parents=True, exist_ok=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        for name in missing:
            _fetch(name, directory, mirrors, progress)


def _fetch(name: str, directory: Path, mirrors: Sequence[str], progress: Progress) -> None:
    target = directory / f"{name}.gz"
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}.gz"
        for _ in range(_ATTEMPTS):
            try:
                packed = _download(url, progress)
                idx.verify(url, idx.unpack(url, packed), name)
            except (OSError, HTTPException, ValueError) as error:  # offline, cut off, or not the file
                failures.append(f"{mirror}: {error}")
            else:
                return _write_atomically(target, packed)
    raise ConnectionError(
        f"could not download {name} ({'; '.join(dict.fromkeys(failures))}); "
        "without a network set origin=bundled (5,000 digits), or origin=local with dir=<the folder of the four files>"
    )


def _download(url: str, progress: Progress) -> bytes:
    with urlopen(url, timeout=_TIMEOUT_S) as response:
        size = response.headers.get("Content-Length")
        task = progress.add_task(url.rsplit("/", 1)[-1], total=int(size) if size else None)
        chunks = []
        try:
            while chunk := response.read(_CHUNK):
                chunks.append(chunk)
                progress.advance(task, len(chunk))
        finally:
            progress.remove_task(task)
    return b"".join(chunks)


def _write_atomically(target: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            temporary.unlink()
            raise
    os.replace(temporary, target)
