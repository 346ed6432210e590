"""Where a run came from and how to make it again."""

from __future__ import annotations

from typing import Any, NamedTuple

from saelab.report.facts import Facts
from saelab.report.findings import families
from saelab.report.words import count, duration


class Stage(NamedTuple):
    """A step of the pipeline: what it is, which one, and whether this run is it."""

    kind: str
    name: str
    here: bool = False


def pipeline(run: Facts) -> list[Stage]:
    """source -> base -> store -> SAE -> probe, as far as the run goes."""
    kind = run.info.get("kind")
    base, store = run.info.get("base") or {}, run.info.get("store") or {}
    stages = []
    if source := run.info.get("source") or source_name(run.config):
        stages.append(Stage("source", source))
    if kind == "classifier":
        stages.append(Stage("base net", target(run.config.get("model")), here=True))
    elif base:
        stages.append(Stage("base net", f"{run_name(base.get('run', ''))} {short(base.get('hash', ''))}".strip()))
    if store:
        rows = f", {count(store['rows'])} rows" if store.get("rows") else ""
        stages.append(Stage("store", f"{short(store.get('hash') or last(store.get('path', '')))}{rows}"))
    if kind == "sae":
        stages.append(Stage("SAE", target(run.config.get("model")), here=True))
    if probed := families(run):
        names = ", ".join(probed[:4]) + (f" and {len(probed) - 4} more" if len(probed) > 4 else "")
        stages.append(Stage("probes", names, here=kind == "probe"))
    return stages


def reproduction(run: Facts) -> dict[str, str]:
    """Facts for the last section: what ran where, on what, for how long."""
    info = run.info
    base, store = info.get("base") or {}, info.get("store") or {}
    lines = {
        "git": info.get("git_sha"),
        "seed": info.get("seed", run.config.get("seed")),
        "store": f"{store.get('path', '')} ({store.get('hash', '')})" if store else None,
        "base net": f"{base.get('run', '')} ({base.get('hash', '')})" if base else None,
        "device": info.get("device"),
        "wall time": duration(float(info["wall_s"])) if info.get("wall_s") is not None else None,
        "peak memory": f"{count(float(info['peak_mb']))} MB" if info.get("peak_mb") else None,
        "started": info.get("created"),
        "versions": ", ".join(f"{name} {version}" for name, version in (info.get("versions") or {}).items()),
    }
    return {name: str(value) for name, value in lines.items() if value not in (None, "")}


def source_name(config: dict[str, Any]) -> str:
    """The class or name of the data, wherever the config keeps it."""
    for key in ("source", "data"):
        node = config.get(key)
        if isinstance(node, dict):
            return source_name(node) or target(node)
    return ""


def target(node: Any) -> str:
    """The last word of a `_target_`; of a module that holds an SAE or a net, that of the inner one."""
    if not isinstance(node, dict):
        return ""
    for inner in ("sae", "net"):
        if name := target(node.get(inner)):
            return name
    return last(str(node.get("_target_", "")).replace(".", "/"))


def run_name(path: str) -> str:
    """What a run is called: its directory, or the one above where that is a time."""
    name = last(path)
    return last(path.rstrip("/").removesuffix(name)) if name[:1].isdigit() else name


def last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def short(digest: str) -> str:
    return digest[:8]
