"""`import`: an SAE of another library as one of ours."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from saelab import formats
from saelab.commands.export import known_format
from saelab.commands.outcome import announce, shown
from saelab.config import ConfigError, command
from saelab.run import load_sae, new_directory, save_module, write_json


@command("import")
def main(cfg: DictConfig) -> dict[str, float]:
    """Make one of our SAEs of what another library wrote, for saelab.load_sae: path=FOLDER format=saelens."""
    known_format(cfg.format)
    try:
        p = formats.read(cfg.format, Path(cfg.path))
        spec, sae = formats.rebuild(p)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    out = _place(cfg)
    save_module(out, "sae", spec, sae)
    sae = load_sae(out)
    found = formats.agrees_with_plain(sae, p, formats.rows_like(sae))
    if not found.close:
        raise ConfigError(f"{out} was written, but is not what the library computes: {found}.")
    write_json(out / "import.json", {"format": cfg.format, "path": str(Path(cfg.path).resolve()), **found._asdict()})
    announce(f"import {shown(out)}: a {type(sae).__name__} of {sae.d_sae} latents, cfg.json, sae.safetensors")
    announce(f"check  beside the library's formula in float64, it is the same: {found}")
    announce(f'use    saelab.load_sae("{shown(out)}")')
    return {"difference": found.difference, "relative": found.relative}


def _place(cfg: DictConfig) -> Path:
    """Where it goes: `out`, which must be empty, or a new directory below the log directory."""
    if cfg.out is None:
        return new_directory(Path(cfg.paths.log_dir) / "imported")
    out = Path(cfg.out)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"out={out} is not an empty folder: give another, or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    return out
