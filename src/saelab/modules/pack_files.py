"""What a pack writes: the checkpoints and the curves of its members, each as a lone run would have written it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from saelab.modules.checkpoint import AtomicCheckpointIO
from saelab.modules.csv import CurvesLogger


class PackCheckpointIO(AtomicCheckpointIO):
    """Checkpoints of a pack as those of its members, which a lone run could go on from.

    One that is asked for in a member's folder is that member's alone; any other is written to all of them, under the
    same name. Loading takes the members' together again.

    Args:
        folders: the members' checkpoint folders, in the order of the pack.
        folder: where the pack's trainer believes its own to be; nothing is written there.
    """

    def __init__(self, *, folders: Sequence[Path], folder: Path) -> None:
        super().__init__()
        self.folders, self.folder = list(folders), folder

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        numbers = [self.folders.index(path.parent)] if path.parent in self.folders else range(len(self.folders))
        for number in numbers:
            own = member_of(checkpoint, number, folder=self.folder, own_folder=self.folders[number])
            super().save_checkpoint(own, self.folders[number] / path.name)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        load = super().load_checkpoint
        parts = [load(folder / Path(path).name, *args, **kwargs) for folder in self.folders]
        return joined(parts, folders=self.folders, folder=self.folder)


def member_of(checkpoint: dict[str, Any], number: int, *, folder: Path, own_folder: Path) -> dict[str, Any]:
    """A member's own checkpoint, from that of a pack."""
    prefix = f"members.{number}."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    callbacks = {}
    for key, value in checkpoint["callbacks"].items():
        monitor = value.get("monitor") if isinstance(value, dict) else None
        if monitor is None:
            callbacks[key] = renamed(value, str(folder), str(own_folder))
        elif monitor.startswith(f"{number}/"):
            own = monitor.removeprefix(f"{number}/")
            callbacks[key.replace(monitor, own)] = value | {"monitor": own}
    return checkpoint | {
        "state_dict": state,
        "callbacks": callbacks,
        "optimizer_states": [checkpoint["optimizer_states"][0]["parts"][number]],
        "lr_schedulers": [checkpoint["lr_schedulers"][0]["parts"][number]],
    }


def joined(parts: Sequence[dict[str, Any]], *, folders: Sequence[Path], folder: Path) -> dict[str, Any]:
    """The checkpoint of a pack from those of its members, which all stand at the same step."""
    state, callbacks = {}, {}
    for number, part in enumerate(parts):
        state |= {f"members.{number}.{k}": v for k, v in part["state_dict"].items()}
        for key, value in part["callbacks"].items():
            monitor = value.get("monitor") if isinstance(value, dict) else None
            if monitor is None:
                callbacks[key] = renamed(value, str(folders[number]), str(folder))
            else:
                callbacks[key.replace(monitor, f"{number}/{monitor}")] = value | {"monitor": f"{number}/{monitor}"}
    return parts[0] | {
        "state_dict": state,
        "callbacks": callbacks,
        "optimizer_states": [{"parts": [part["optimizer_states"][0] for part in parts]}],
        "lr_schedulers": [{"parts": [part["lr_schedulers"][0] for part in parts]}],
    }


def renamed(value: Any, before: str, after: str) -> Any:
    """The same state with the paths of another folder."""
    if isinstance(value, dict):
        return {renamed(k, before, after): renamed(v, before, after) for k, v in value.items()}
    return value.replace(before, after) if isinstance(value, str) else value


class PackCurves(Logger):
    """`metrics.csv` of every member: `<number>/<name>` goes to that member, what has no number to all."""

    def __init__(self, *, members: Sequence[CurvesLogger]) -> None:
        super().__init__()
        self.members = list(members)

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run directories have `config.yaml`."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        shared, own = {}, [{} for _ in self.members]
        for name, value in metrics.items():
            number, _, rest = name.partition("/")
            if number.isdigit():
                own[int(number)][rest] = value
            else:
                shared[name] = value
        for member, values in zip(self.members, own, strict=True):
            member.log_metrics(values | shared, step)

    def save(self) -> None:
        for member in self.members:
            member.save()

    def finalize(self, status: str) -> None:
        self.save()
