"""`export`: an SAE in the format of another library."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from saelab import formats
from saelab.commands.outcome import announce, shown
from saelab.config import ConfigError, command
from saelab.config.check import nearest
from saelab.run import Run, load_sae


@command("export")
def main(cfg: DictConfig) -> dict[str, float]:
    """Write the SAE of a run in the format of another library, and read it back: run=logs/runs/... format=saelens."""
    known_format(cfg.format)
    run, out = Path(cfg.run), Path(cfg.out or Path(cfg.run) / "export" / cfg.format)
    try:
        sae = load_sae(run)
        files = formats.write(sae, cfg.format, out, site=_site(run))
        _, back = formats.rebuild(formats.read(cfg.format, out))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    found = formats.agree(sae, back, formats.rows_like(sae))
    if not found.close:
        raise ConfigError(f"{out} was written, but read back it is not the same: {found}.")
    announce(f"export {shown(out)}: {', '.join(file.name for file in files)}")
    announce(f"check  read back, it is the same: {found}")
    announce(f"load   {formats.FORMATS[cfg.format].LOAD.format(path=shown(out))}")
    return {"difference": found.difference, "relative": found.relative}


def known_format(name: str) -> None:
    """Raises: ConfigError for a format that there is not."""
    if name not in formats.FORMATS:
        known = list(formats.FORMATS)
        raise ConfigError(f"format={name} is unknown: {', '.join(known)}.{nearest(name, known)}")


def _site(run: Path) -> str | None:
    """The site that the SAE was trained on, where the directory says it."""
    return Run.open(run).info.get("store", {}).get("site") if (run / "run.json").exists() else None
