"""How much of a bare step's speed a whole run keeps: data, Lightning, logging, validation, checkpoints.

    python benchmarks/loop.py

Trains on 55,000 random rows, 512 wide, with what `experiment=mnist_topk` sets: ten epochs, callbacks, curves, clipping,
validation on 5,000 rows and two checkpoints after every epoch. At the end of each epoch a copy of the SAE takes bare
steps, clipping included, on batches of the same rows, while the fit's clock stands still: what a machine does to one
it does to the other. The share is (steps of the fit · mean bare step) / the fit's time. Runs take turns, medians over
the rounds are shown. Writes `benchmarks/results/loop.json`. Takes some eight minutes.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# a script's own folder comes first on the path, and a file of it is called like a variant
sys.path[:1] = [str(ROOT / "src")]

import lightning as L  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from saelab.commands import build  # noqa: E402
from saelab.commands.feed import feed, store_data  # noqa: E402
from saelab.config.compose import compose, set_log_dir  # noqa: E402
from saelab.kernels import tune  # noqa: E402
from saelab.modules import Adam  # noqa: E402
from saelab.run import Run  # noqa: E402
from saelab.sae import SAE  # noqa: E402

ROWS, D, EPOCHS, ROUNDS = 62_500, 512, 10, 5
CASES = {  # d_sae, batch size, bare steps an epoch
    "512/512/1,024": (512, 1024, 20),
    "512/4,096/4,096": (4096, 4096, 5),
}
VARIANTS = ("topk", "relu")


def bare(sae: SAE, x: Tensor, batch: int, steps: int) -> list[float]:
    """Seconds of each step, the first two apart."""
    sae = copy.deepcopy(sae).train()
    optimizer = Adam(sae.parameters(), lr=1e-5, fused=True)
    took = []
    for i in range(steps + 2):
        rows = x[i * batch % (len(x) - batch) :][:batch]
        start = time.perf_counter()
        s = sae.step(rows)
        optimizer.zero_grad()
        torch.stack(list(sae.losses(s).values())).sum().backward()
        sae.track_(s)
        sae.project_grad_()
        nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimizer.step()
        sae.project_()
        took.append(time.perf_counter() - start)
    return took[2:]


class Bare(L.Callback):
    """Bare steps at the end of every epoch, and the time that went by meanwhile."""

    def __init__(self, x: Tensor, batch: int, steps: int) -> None:
        self.x, self.batch, self.steps = x, batch, steps
        self.took: list[float] = []
        self.away = 0.0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        begin = time.perf_counter()
        self.took += bare(pl_module.sae, self.x, self.batch, self.steps)
        self.away += time.perf_counter() - begin


def share(variant: str, d_sae: int, batch: int, steps: int, folder: Path) -> float:
    """One fit, with bare steps between its epochs."""
    settings = ["experiment=mnist_topk", "data=array", f"data.path={folder / 'rows.npy'}", "base=null", "store=null"]
    settings += ["data.splits={train: 0.88, val: 0.08, test: 0.04}", f"model={variant}", "probe=null"]
    settings += [
        "callbacks.summary=null",
        f"model.sae.d_sae={d_sae}",
        f"batch_size={batch}",
        f"trainer.max_epochs={EPOCHS}",
    ]
    cfg = compose("train", settings)
    given = feed(cfg)
    data = store_data(cfg, given)
    module = build.sae(cfg, data.d_in, data.d_out)
    path = Path(tempfile.mkdtemp(dir=folder))
    trainer = build.trainer(cfg, Run.start(path, name="loop", kind="sae", recipe="", config_yaml=""), module)
    between = Bare(given.store.read("train", given.site, slice(0, 8 * batch)), batch, steps)
    trainer.callbacks.insert(0, between)  # type: ignore[attr-defined]
    begin = time.perf_counter()
    trainer.fit(module, datamodule=data)
    whole = time.perf_counter() - begin - between.away
    return trainer.global_step * statistics.mean(between.took) / whole


def main() -> None:
    tune()
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SAELAB_LOG_DIR"] = str(folder / "logs")
        set_log_dir()
        np.save(folder / "rows.npy", np.random.default_rng(0).standard_normal((ROWS, D)).astype(np.float32))
        for _ in range(ROUNDS):
            for size, case in CASES.items():
                for variant in VARIANTS:
                    found.setdefault((size, variant), []).append(share(variant, *case, folder))
    rows: list[dict[str, Any]] = [
        {"size": size, "variant": variant, "share": round(statistics.median(each), 3), "each": each}
        for (size, variant), each in found.items()
    ]
    table = Table("d / n / B", "variant", "share of the bare step's speed", "each round")
    for row in rows:
        table.add_row(row["size"], row["variant"], f"{row['share']:.2f}", " ".join(f"{v:.2f}" for v in row["each"]))
    Console(width=100).print(table)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "torch": torch.__version__}
    (ROOT / "benchmarks/results/loop.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
