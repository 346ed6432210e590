"""By name: reading and writing the formats of other libraries."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from saelab.formats import dictionary_learning, overcomplete, saelens, sparsify
from saelab.formats.ours import fold
from saelab.formats.plain import Plain, Unsupported
from saelab.sae import SAE

FORMATS: dict[str, ModuleType] = {
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
    "overcomplete": overcomplete,
}


def write(sae: SAE, name: str, path: Path, *, site: str | None = None) -> list[Path]:
    """Write an SAE in a library's format; the files.

    Raises: Unsupported, saying why and which formats can hold it, before anything is written.
    """
    p = fold(sae)
    reasons = {other: module.refusal(p) for other, module in FORMATS.items()}
    if reasons[name]:
        able = [other for other, reason in reasons.items() if reason is None]
        instead = f"format={' or '.join(able)} can." if able else "No other format can either."
        raise Unsupported(f"{name} cannot hold this {type(sae).__name__}: {reasons[name]}. {instead}")
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise Unsupported(f"{path} is not an empty folder: give another out=, or remove it.")
    FORMATS[name].write(p, path, site=site)
    return [path / FORMATS[name].CFG, path / FORMATS[name].WEIGHTS]


def read(name: str, path: Path) -> Plain:
    """Read what a library wrote.

    Raises: Unsupported for what has no like here, and for a missing or damaged file.
    """
    try:
        return FORMATS[name].read(path)
    except KeyError as error:
        raise Unsupported(f"{path} is not what {name} writes: it has no {error}.") from error
