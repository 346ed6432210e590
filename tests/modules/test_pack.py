"""A pack: each member is what it would be alone, to the bit on one thread; its checkpoints are those of a lone run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_training import Data as Loaded
from test_training import Rows, rows_of

from saelab.modules import AtomicCheckpointIO, CurvesLogger, PackCheckpointIO, PackCurves, PackModule, SAEModule
from saelab.sae import SAE

sys.path.append(str(Path(__file__).parents[1] / "sae"))
from variants import make, names

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "log_every_n_steps": 1}
TREATED = {"ghost": 0.1, "reanimate": 0.1, "dead_after": 100}


class Batches:
    """Batches that draw no random numbers of torch's, as those of a store."""

    def __init__(self, x: torch.Tensor) -> None:
        self.parts = x.split(64)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Rows]:
        return (Rows(x, x) for x in self.parts)


class Data(Loaded):
    def train_dataloader(self) -> Any:
        return Batches(self.x)

    val_dataloader = train_dataloader


def built(name: str, **options: Any) -> tuple[SAEModule, torch.Tensor]:
    """A module as its config would build it, and where its random numbers stand then."""
    torch.manual_seed(0)
    sae = make(name, d_in=8, **options)
    adam = partial(torch.optim.Adam, lr=1e-2)
    return SAEModule(sae=sae, optimizer=adam, sparsity_warmup=0.5), torch.get_rng_state()


def folder_of(path: Path, number: int) -> Path:
    folder = path / f"{number:03d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def best(folder: Path, prefix: str = "") -> ModelCheckpoint:
    version: Any = {"enable_version_counter": False}
    return ModelCheckpoint(dirpath=folder, monitor=f"{prefix}val/ev", mode="max", filename="best", **version)


def last(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)


class Stop(L.Callback):
    """Go no further than so many epochs, as a run that is stopped."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == self.epochs:
            raise RuntimeError("stopped")


def alone(module: SAEModule, path: Path, *more: L.Callback, epochs: int = 4, **options: Any) -> L.Trainer:
    trainer = L.Trainer(
        logger=CurvesLogger(path=path / "metrics.csv"),
        callbacks=[best(path), last(path), *more],
        plugins=[AtomicCheckpointIO()],
        max_epochs=epochs,
        **QUIET | options,
    )
    trainer.fit(module, datamodule=Data(), ckpt_path=path / "last.ckpt" if (path / "last.ckpt").exists() else None)
    return trainer


def packed(
    made: list[tuple[SAEModule, torch.Tensor]],
    path: Path,
    *more: L.Callback,
    workers: int | None = None,
    epochs: int = 4,
    **options: Any,
) -> L.Trainer:
    folders = [folder_of(path, i) for i in range(len(made))]
    modules, draws = zip(*made, strict=True)
    begun = path / "pack/last.ckpt" if (folders[0] / "last.ckpt").exists() else None
    trainer = L.Trainer(
        logger=PackCurves(members=[CurvesLogger(path=f / "metrics.csv") for f in folders]),
        callbacks=[*(best(f, f"{i}/") for i, f in enumerate(folders)), last(path / "pack"), *more],
        plugins=[PackCheckpointIO(folders=folders, folder=path / "pack")],
        max_epochs=epochs,
        **QUIET | options,
    )
    pack = PackModule(members=modules, draws=draws, workers=workers)
    trainer.fit(pack, datamodule=Data(), ckpt_path=begun)
    return trainer


def assert_equal(one: SAE, other: SAE) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


OPTIONS: list[dict[str, Any]] = [{}, {"aux_k": 4, "aux_coef": 0.5, **TREATED}, {"decoder": "free"}]
UNIT_ONLY = ("archetypal", "densae", "matching_pursuit", "omp")


@pytest.mark.parametrize("name", [name for name in names() if make(name).trained])
def test_members_are_what_they_would_be_alone(name: str, tmp_path: Path) -> None:
    """32 steps with clipping, warm-ups, each decoder and the treatments of dead latents; the curves too."""
    variations = OPTIONS[:2] if name in UNIT_ONLY else OPTIONS
    pack = [built(name, **options) for options in variations]
    packed(pack, tmp_path / "pack", gradient_clip_val=1.0)
    for i, options in enumerate(variations):
        module, _ = built(name, **options)
        alone(module, folder_of(tmp_path / "alone", i), gradient_clip_val=1.0)
        assert_equal(module.sae, pack[i][0].sae)
        assert rows_of(tmp_path / f"alone/{i:03d}") == rows_of(tmp_path / f"pack/{i:03d}")


@pytest.mark.parametrize("workers", [1, 3])
def test_side_by_side_or_in_turn(workers: int, tmp_path: Path) -> None:
    """Different variants and widths; on three cores too, which gives the same numbers as long as each has one."""
    torch.set_num_threads(1)
    kinds: list[tuple[str, dict[str, Any]]] = [("relu", {"d_sae": 12}), ("topk", {}), ("lagrangian", {}), ("relu", {})]
    pack = [built(name, **options) for name, options in kinds]
    packed(pack, tmp_path / "pack", workers=workers)
    for i, (name, options) in enumerate(kinds):
        module, _ = built(name, **options)
        alone(module, folder_of(tmp_path / "alone", i))
        assert_equal(module.sae, pack[i][0].sae)


def stopped(fit: Any, *args: Any) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        fit(*args, Stop(2))


@pytest.mark.parametrize(("before", "after"), [("pack", "pack"), ("pack", "alone"), ("alone", "pack")])
def test_checkpoints_are_those_of_lone_runs(before: str, after: str, tmp_path: Path) -> None:
    """Stopped after two epochs of four, packed or alone, members go on packed or alone to the same end."""
    kinds = ["relu", "batchtopk"]
    made = [built(name) for name in kinds]
    if before == "pack":
        stopped(packed, made, tmp_path)
    else:
        for i, (module, _) in enumerate(made):
            stopped(alone, module, folder_of(tmp_path, i))
    made = [built(name) for name in kinds]
    if after == "pack":
        packed(made, tmp_path)
    else:
        for i, (module, _) in enumerate(made):
            alone(module, folder_of(tmp_path, i))
    for i, name in enumerate(kinds):
        module, _ = built(name)
        straight = folder_of(tmp_path / "straight", i)
        alone(module, straight)
        assert_equal(module.sae, made[i][0].sae)
        for file in ("best.ckpt", "last.ckpt"):
            own, its = (torch.load(f / file, weights_only=True) for f in (straight, tmp_path / f"{i:03d}"))
            assert own["epoch"] == its["epoch"]
            assert own.keys() == its.keys()
            assert own["callbacks"].keys() == its["callbacks"].keys()
            assert own["loops"].keys() == its["loops"].keys()
            for key in own["state_dict"]:
                assert torch.equal(own["state_dict"][key], its["state_dict"][key])


def test_an_error_in_one_member_ends_the_pack_with_it(tmp_path: Path) -> None:
    made = [built("relu"), built("relu")]
    made[1][0].sae.track_ = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        packed(made, tmp_path)
