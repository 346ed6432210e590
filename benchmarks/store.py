"""How fast a store is written and served, beside per-row indexing of a memory map.

    python benchmarks/store.py

Rows are 512 wide, float32. Speeds are rows per second; servers take turns, and medians over the rounds are shown.
Writes `benchmarks/results/store.json`. Takes under a minute and 1.1 GB of temporary disk, which it frees.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
# a script's own folder comes first on the path, and this file is called like a package there
sys.path[:1] = [str(ROOT / "src")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from saelab.store import MemoryBatches, PoolBatches, Store, extract, import_array  # noqa: E402

ROWS, ARRAY_ROWS, NAIVE_ROWS, WIDTH, BATCH, ROUNDS = 400_000, 100_000, 40_960, 512, 4096, 3


class Noise:
    """Inputs `[b, 512]` that cost next to nothing to make."""

    pool = torch.randn(8192, WIDTH, generator=torch.Generator().manual_seed(0))

    def size(self, split: str) -> int:
        return ROWS

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> SimpleNamespace:
        return SimpleNamespace(x=self.pool[index % len(self.pool)], labels={"digit": index % 10})


class Mapped(Dataset[Tensor]):
    """What one would write in five lines: a row of a memory-mapped array at a time."""

    def __init__(self, path: Path) -> None:
        self.rows = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return NAIVE_ROWS

    def __getitem__(self, row: int) -> Tensor:
        return torch.tensor(self.rows[row])


def peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def speed(rows: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return rows / (time.perf_counter() - start)


def drain(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def measure(folder: Path) -> dict[str, float]:
    """Rows per second of each way, and peak memory in MB."""
    array = folder / "acts.npy"
    np.save(array, np.random.default_rng(0).standard_normal((ARRAY_ROWS, WIDTH), dtype=np.float32))
    net, path = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()), folder / "store"
    options = {"sites": ["1"], "splits": ["train"], "batch_size": 4096, "recipe": {}, "progress": False}
    base = peak_mb()
    results = {
        "import of an array": speed(ARRAY_ROWS, lambda: import_array(array, folder / "array", progress=False)),
        "extraction (one linear layer)": speed(ROWS, lambda: extract(net, Noise(), path, **options)),
    }
    results["MB to write, over what was there before"] = peak_mb() - base

    serve = {"split": "train", "site": "1", "batch_size": BATCH}
    store = Store(path)
    results["verifying checksums"] = speed(ROWS, store.verify)
    servers: dict[str, tuple[int, Iterable[object]]] = {
        "pool of 262,144 rows": (ROWS, PoolBatches(store, **serve)),
        "pool of 65,536 rows": (ROWS, PoolBatches(store, **serve, pool_rows=65536)),
        "pool, rank 0 of 2": (ROWS // 2, PoolBatches(store, **serve | {"batch_size": BATCH // 2}, rank=0, world=2)),
    }
    drain(servers["pool of 262,144 rows"][1])
    results["MB to serve through that pool"] = peak_mb() - base
    servers["memory"] = (ROWS, MemoryBatches(store, **serve))
    servers["reference: DataLoader, a row at a time"] = (
        NAIVE_ROWS, DataLoader(Mapped(array), batch_size=BATCH, shuffle=True),
    )  # fmt: skip
    for _, server in servers.values():
        drain(server)
    rounds: dict[str, list[float]] = {name: [] for name in servers}
    for epoch in range(ROUNDS):
        for name, (rows, server) in servers.items():
            if isinstance(server, PoolBatches | MemoryBatches):
                server.set_epoch(epoch)
            rounds[name].append(speed(rows, lambda server=server: drain(server)))
    return results | {name: statistics.median(speeds) for name, speeds in rounds.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder))
    table = Table("what", "rows/s", "MB", title=f"{WIDTH}-d float32 rows, {os.cpu_count()} cores")
    for name, value in results.items():
        memory = name.startswith("MB")
        table.add_row(name.removeprefix("MB "), "" if memory else f"{value:,.0f}", f"{value:,.0f}" if memory else "")
    Console().print(table)
    out = ROOT / "benchmarks/results/store.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "torch": torch.__version__}
    out.write_text(json.dumps({"rows": ROWS, "width": WIDTH, **machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
