"""Compose configs with Hydra, and turn what can go wrong into one line that names the key and the fix."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from saelab.config.check import ConfigError, check, nearest
from saelab.config.schema import ROOTS, SCHEMAS, register

# groups that may be left out
NULLABLE = ("base", "store", "concepts", "logger", "experiment", "debug", "sweep", "tuned", "model@probe")
PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parents[1]


def configs_dir() -> Path:
    """The checkout's `configs/`, or those that came with the installed package."""
    beside = CHECKOUT / "configs"
    return beside if (beside / "train.yaml").exists() else PACKAGE / "configs"


def set_log_dir() -> None:
    """Where runs go unless `SAELAB_LOG_DIR` says: `logs/` of the checkout, else of the working directory."""
    home = CHECKOUT if (CHECKOUT / "configs" / "train.yaml").exists() else Path.cwd()
    os.environ.setdefault("SAELAB_LOG_DIR", str(home / "logs"))


def compose(command: str, overrides: Sequence[str] = (), *, checked: bool = True) -> DictConfig:
    """The config of a command under overrides, resolved and checked.

    Raises: ConfigError, with a text that names the key and suggests the nearest valid one.
    """
    cfg = _compose(command, overrides)
    try:
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    if checked:
        _check_root(cfg, command)
        assert isinstance(plain, dict)
        check({str(key): value for key, value in plain.items()})
    return cfg


def spelt(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra spells them: `base=null`, for which it has no ear, is `~base`."""
    nulls = {f"{group}=null": f"~{group}" for group in NULLABLE}
    return [nulls.get(override, override) for override in overrides]


def jobs(command: str, overrides: Sequence[str]) -> list[list[str]]:
    """The override lists of a multirun, in the order Hydra's basic sweeper runs them."""
    overrides = spelt(overrides)
    cfg = _compose(command, [o for o in overrides if not _is_sweep(o)], with_hydra=True)
    params = [f"{k}={v}" for k, v in (OmegaConf.select(cfg, "hydra.sweeper.params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*params, *overrides])
    return BasicSweeper.split_arguments(parsed, None)[0]


def of_each_job(overrides: Sequence[str]) -> list[str]:
    """Settings as sweeps of one value, which Hydra applies to the jobs alone.

    It applies others to the config before a sweep chooses too, where `model.sae.l1=2` is an unknown key if the model
    that is swept over has it and the one before does not.
    """
    changed = []
    for override in overrides:
        key, _, value = override.partition("=")
        setting = "." in key and value and not key.startswith(("hydra.", "~"))
        changed.append(f"{key}=choice({value})" if setting and not _is_sweep(override) else override)
    return changed


def options(group: str) -> dict[str, str]:
    """The choices of a config group, each with the first comment line of its file."""
    found = {}
    for file in sorted((configs_dir() / group).glob("*.yaml")):
        lines = file.read_text().splitlines()
        comments = [line.lstrip("# ").strip() for line in lines if line.startswith("#") and "@package" not in line]
        found[file.stem] = comments[0] if comments else ""
    return found


def _is_sweep(override: str) -> bool:
    try:
        return OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException as error:
        raise ConfigError(f"Cannot read the override '{override}': {_first_line(error)}") from error


def _compose(command: str, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    register()
    set_log_dir()
    overrides = spelt(overrides)
    _check_chosen(overrides)
    try:
        if GlobalHydra.instance().is_initialized():
            return hydra_compose(command, list(overrides), return_hydra_config=with_hydra)
        with initialize_config_dir(str(configs_dir()), version_base="1.3"):
            return hydra_compose(command, list(overrides), return_hydra_config=with_hydra)
    except MissingConfigException as error:
        raise ConfigError(_missing_choice(error)) from error
    except OverrideParseException as error:
        raise ConfigError(f"Cannot read the override '{error.override}': {_first_line(error)}") from error
    except ConfigCompositionException as error:
        raise ConfigError(_unknown_override(error, command, overrides)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_unknown_root(error, command)) from error


def _check_chosen(overrides: Sequence[str]) -> None:
    """Of a group that is given null Hydra tells neither its name nor what it may be."""
    for override in overrides:
        group, _, value = override.partition("=")
        folder = group.split("@")[0]
        if value == "null" and (configs_dir() / folder).is_dir():
            raise ConfigError(f"{override}: {group} cannot be left out. Choose one of: {', '.join(options(folder))}.")


def _check_root(cfg: DictConfig, command: str) -> None:
    known = list(ROOTS[command].__dataclass_fields__)
    for key in map(str, cfg):
        if key not in known:
            raise ConfigError(f"Unknown key '{key}': {command} has {', '.join(known)}.{nearest(key, known)}")
    missing = [str(k) for k in cfg if OmegaConf.is_missing(cfg, k)]
    if missing:
        raise ConfigError(f"'{missing[0]}' is missing: give it a value, e.g. {missing[0]}=...")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _missing_choice(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    known = list(error.options or [])
    if not group or not known:
        return _first_line(error)
    listing = "".join(f"\n  {n:<24}{text}" for n, text in options(group).items()) or ", ".join(known)
    return f"There is no {group} '{name}'.{nearest(name, known)} There are:{listing}"


def _unknown_override(error: ConfigCompositionException, command: str, overrides: Sequence[str]) -> str:
    match = re.search(r"Could not (?:override|append|delete)[^']*'([^']+)'", str(error))
    if match is None:
        return _unknown_root(error, command)
    key = match.group(1).lstrip("+~").split("=")[0].split("@")[0]
    if error.__cause__ is not None and "not in" not in str(error.__cause__):
        return f"Cannot set '{key}': {_first_line(error.__cause__)}"
    kept = [o for o in overrides if o.lstrip("+~").split("=")[0].split("@")[0] != key]
    parent, _, leaf = key.rpartition(".")
    cfg = _compose(command, kept)
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if OmegaConf.is_dict(node) and leaf in node:
        return f"'{key}' cannot be set to that. Its value is {OmegaConf.select(cfg, key)!r:.100}."
    while node is None or not OmegaConf.is_dict(node):
        if not parent:
            node = cfg
            break
        parent, _, leaf = parent.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
    known = [str(k) for k in node if not str(k).startswith("_")]
    groups = [] if parent else sorted(p.name for p in configs_dir().iterdir() if p.is_dir())
    known = sorted({*known, *groups})
    where = f"'{parent}'" if parent else f"{command}"
    return f"Unknown key '{key}': {where} has {', '.join(known)}.{nearest(leaf, known)}"


def _unknown_root(error: BaseException, command: str) -> str:
    """A key that a schema does not have, or a value of the wrong type, whichever YAML it stands in."""
    text = f"{error}\n{error.__cause__ or ''}"
    file = re.search(r"In '([^']+)'", text)
    prefix = f"In {file.group(1)}.yaml: " if file else ""
    key = re.search(r"full_key: (\S+)", text)
    match = re.search(r"Key '([^']+)' not in '(\w+)'", text)
    if match is None:
        lines = [
            line for line in text.strip().splitlines() if not re.search("raised while composing|Error merging", line)
        ]
        return f"{prefix}'{key.group(1)}': {lines[0]}" if key else prefix + lines[0]
    where = key.group(1) if key else match.group(1)
    known = list(SCHEMAS[match.group(2)].__dataclass_fields__) if match.group(2) in SCHEMAS else []
    takes = f"{where.rpartition('.')[0] or command} has {', '.join(known)}."
    return f"{prefix}Unknown key '{where}': {takes}{nearest(match.group(1), known)}"


def plain(cfg: Any) -> Any:
    """A config as plain dicts and lists, resolved."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg
