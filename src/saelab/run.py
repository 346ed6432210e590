"""What a run directory holds; saving and loading an SAE or a network."""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

if TYPE_CHECKING:
    from saelab.sae import SAE

CFG = {"sae": "cfg.json", "net": "net.json"}
PACKAGES = ("saelab", "torch", "lightning", "hydra-core", "numpy")


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    partial = path.with_suffix(f".tmp{os.getpid()}")
    partial.write_text(json.dumps(data, indent=2, default=str) + "\n")
    os.replace(partial, path)


def rank() -> int:
    """Which of the processes of a run this is; only the first writes to its directory."""
    return int(os.environ.get("LOCAL_RANK", 0)) + int(os.environ.get("NODE_RANK", 0))


def new_directory(parent: Path) -> Path:
    """Make a directory named by the time; when two processes ask in the same second, each gets its own."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for n in range(1, 10_000):
        path = parent / (stamp if n == 1 else f"{stamp}_{n}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue
    raise RuntimeError(f"{parent} holds ten thousand directories named {stamp}.")


class Run:
    """A run directory: `run.json` says what is being done from the first moment, and how it ended at the last."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path, self.info = path, info
        self.share = 1.0  # of the time that passes; the members of a pack share theirs

    @classmethod
    def start(cls, path: Path, *, name: str, kind: str, recipe: str, config_yaml: str) -> Run:
        """Begin a run in a directory, or continue the unfinished one there."""
        if rank() == 0:
            path.mkdir(parents=True, exist_ok=True)
        before = cls.open(path).info if (path / "run.json").exists() else {}
        info = {
            "name": name,
            "kind": kind,
            "status": "running",
            "recipe": recipe,
            "created": before.get("created", datetime.now().isoformat(timespec="seconds")),
            "command": command_line(),
            "argv": sys.argv,
            "overrides": json.loads(os.environ.get("SAELAB_JOB", "{}")).get("overrides", []),
            "git_sha": git_sha(),
            "versions": versions(),
            "device": device_name(),
            "wall_s": before.get("wall_s", 0.0),
            "resumed": before.get("resumed", -1) + 1,
            "pid": os.getpid(),
        }
        if "packed" in before:
            info["packed"] = before["packed"]
        run = cls(path, info)
        if rank() == 0:
            (path / "config.yaml").write_text(config_yaml)
        run._save()
        return run

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """A run that was written before.

        Raises: ValueError when the directory holds no `run.json`.
        """
        path = Path(path)
        if not (path / "run.json").exists():
            raise ValueError(f"{path} is not a run: it has no run.json. Give the directory that training printed.")
        return cls(path, json.loads((path / "run.json").read_text()))

    def note(self, **facts: Any) -> None:
        """Add facts to `run.json`."""
        self.info.update(facts)
        self._save()

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics; empty until there are any."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def stopped(self) -> bool:
        """Whether the run ended before it was finished; one that a living process still works on has not."""
        if self.info["status"] != "running":
            return self.info["status"] != "finished"
        try:
            os.kill(self.info["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return self.info["pid"] == os.getpid()

    @property
    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that training left."""
        path = self.path / "checkpoints" / "last.ckpt"
        return path if path.exists() else None

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Write the final metrics, then say that the run is whole."""
        if rank() == 0:
            write_json(self.path / "metrics.json", dict(metrics))
        self.note(status="finished", **self._cost())

    def __enter__(self) -> Run:
        self._began, self._before = time.perf_counter(), self.info["wall_s"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        facts = self._cost()
        if isinstance(error, Exception):
            facts |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
        elif kind is not None:  # Ctrl-C, or Lightning's way of ending after it
            facts["status"] = "interrupted"
        self.note(**facts)

    def _cost(self) -> dict[str, Any]:
        """Wall time, over all the times that the run was continued, and peak memory."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        facts: dict[str, Any] = {"peak_mb": round(peak)}
        facts["wall_s"] = round(self._before + self.share * (time.perf_counter() - self._began), 2)
        if torch.cuda.is_available():
            facts["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
        return facts

    def _save(self) -> None:
        if rank() == 0:
            write_json(self.path / "run.json", self.info)


def step_of(checkpoint: Path) -> int:
    """The optimiser step that a checkpoint was written after."""
    return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]


def runs(log_dir: Path) -> Iterator[Run]:
    """Every run below a log directory, newest first."""
    found = [*log_dir.glob("runs/*/*/run.json"), *log_dir.glob("sweeps/*/*/*/run.json")]
    for file in sorted(found, key=lambda f: f.stat().st_mtime, reverse=True):
        yield Run.open(file.parent)


def find(log_dir: Path, recipe: str, *, finished: bool) -> Run | None:
    """The newest run of a recipe, given by its hash, that is finished, or that was stopped before it was."""
    for run in runs(log_dir):
        if run.info["recipe"] == recipe and (run.info["status"] == "finished" if finished else run.stopped):
            return run
    return None


def build(spec: Any) -> Any:
    """What a `_target_` spec of plain dicts and lists describes, nested ones included."""
    if isinstance(spec, Mapping):
        built = {k: build(v) for k, v in spec.items() if k != "_target_"}
        if "_target_" not in spec:
            return built
        module, _, name = spec["_target_"].rpartition(".")
        return getattr(importlib.import_module(module), name)(**built)
    return [build(v) for v in spec] if isinstance(spec, list) else spec


def save_module(path: Path, stem: str, spec: Mapping[str, Any], module: nn.Module) -> None:
    """Write `<stem>.safetensors` and the spec it is built from (`cfg.json` for an SAE, `net.json` for a network)."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    save_file(tensors, path / f"{stem}.safetensors.tmp")
    os.replace(path / f"{stem}.safetensors.tmp", path / f"{stem}.safetensors")
    write_json(path / CFG[stem], {"format": 1, "version": metadata.version("saelab"), **spec})


def _load_module(path: Path | str, stem: str, what: str) -> nn.Module:
    path = Path(path)
    if not (path / CFG[stem]).exists():
        raise ValueError(f"{path} holds no {what}: it has no {CFG[stem]}.")
    spec = json.loads((path / CFG[stem]).read_text())
    if spec.pop("format") != 1:
        raise ValueError(f"{path / CFG[stem]} was written by saelab {spec.get('version')}: this one reads format 1.")
    spec.pop("version")
    module = build(spec)
    module.load_state_dict(load_file(path / f"{stem}.safetensors"))
    return module.eval()


def load_sae(run: Path | str) -> SAE:
    """The SAE of a run directory, in eval mode: `saelab.load_sae("logs/runs/quickstart/...")`."""
    return _load_module(run, "sae", "SAE")  # type: ignore[return-value]


def load_net(run: Path | str) -> nn.Module:
    """The base network of a run directory, in eval mode."""
    return _load_module(run, "net", "base network")


def git_sha() -> str | None:
    """The commit of the checkout the code runs from, with `+` when files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return sha.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def command_line() -> str:
    """What to type to do this again, without what the program added itself."""
    added = ("hydra.output_subdir=", "hydra.run.dir=", "hydra.sweep.dir=", "hydra.sweep.subdir=", "hydra.mode=")
    words = [f"'{a}'" if set(a) & set(" []{}()$*,") else a for a in sys.argv[1:] if not a.startswith(added)]
    script = Path(sys.argv[0])
    name = f"python src/{script.name}" if script.suffix == ".py" else script.name
    return " ".join([name, *words])


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose change could change a number."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def device_name() -> str:
    """The accelerator, else the processor, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.processor() or platform.machine()} ({torch.get_num_threads()} threads)"
