"""How near a whole training step comes to the dense limit: ours, and other libraries' in the same process.

    make bench                            (beside those that are installed: `make test-peers` installs four)
    python benchmarks/steps.py --memory   (and then --scaling; with the four, half an hour each)

The dense-limit ratio of a step is (10 B d n / the machine's own rate on the encoder's product) / its time. A dense step
is five products of 2 B d n operations, so code that spends its time on nothing else reaches 1; only what leaves
multiplications by zero out, or multiplies faster, exceeds it. The product is PyTorch's as shipped, into memory that is
already there, timed beside each step; steps take turns, and medians over the rounds are shown. A step is what the
library's own trainer does with a batch: forward, loss, backward, projections, clipping where it clips, Adam, and its
count of what has fired. Inputs are random normal; weights hardly move (lr 1e-5), so that L0 stays what it is. float32.
Freed memory is kept for all (`saelab.kernels.tune`). Products are what each library gets: ours has those that
`saelab.kernels.tune` chooses, as in its programs; "as shipped" is ours without.

`--memory` measures the peak memory that three steps take in a process of their own, above that after three small ones
(Linux), the median of three processes, as where freed memory is used again differs from one to the next;
`--scaling` TopK over widths and batch sizes. Adds to `benchmarks/results/steps.json`; `step_figures.py` draws it.

`--device cuda` does the same on a GPU, with sparsify's Triton kernels and sae-lens compiled among the peers; ours has
then tried both of its paths (`saelab.sae.path`). Memory is the device's. Adds to `benchmarks/results/steps_cuda.json`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# a script's own folder comes first on the path, and a file of it is called like a variant
sys.path[:1] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor  # noqa: E402

from saelab import sae  # noqa: E402
from saelab.kernels.process import choose_products, keep_freed_memory  # noqa: E402
from saelab.modules import Adam  # noqa: E402
from saelab.sae.path import FIRST_TRIAL, now  # noqa: E402

SIZES = {
    "512/512/1,024": (512, 512, 1024),
    "512/4,096/4,096": (512, 4096, 4096),
    "768/12,288/4,096": (768, 12288, 4096),
}
GOALS = {
    "topk": (0.9, 2.2, 3.6),
    "batchtopk": (0.8, 1.6, 2.6),
    "jumprelu": (0.8, 1.6, 2.6),
    "matryoshka": (0.6, 1.4, 2.2),
    "relu_dense": (0.9, 0.95, 0.95),
    "relu": (0.9, 1.4, 2.0),
}
K, RELU_L0, LEVELS, LR = 32, 100, (1 / 8, 1 / 4, 1 / 2, 1.0), 1e-5
WIDTHS, BATCHES = (1024, 2048, 4096, 8192, 16384, 32768, 65536), (1024, 2048, 4096, 8192, 16384, 32768)
SMALL = (64, 1024, 256)  # with few enough codes for a sparse path
MEMORY_ROUNDS = 3
SCALED = (512, 4096, 4096)  # d, and what the other axis is held at
SHIPPED = "saelab, products as shipped"
Step = Callable[[Tensor], Any]


def ours(variant: str, d: int, n: int, x: Tensor) -> Step:
    """A training step of our own, as `SAEModule` takes it."""
    size: dict[str, Any] = {"d_in": d, "d_sae": n}
    built: dict[str, Callable[[], sae.SAE]] = {
        "topk": lambda: sae.TopK(k=K, start_l0=K, **size),
        "batchtopk": lambda: sae.BatchTopK(k=K, start_l0=K, **size),
        "jumprelu": lambda: sae.JumpReLU(target_l0=K, start_l0=K, **size),
        "matryoshka": lambda: sae.Matryoshka(k=K, start_l0=K, levels=LEVELS, **size),
        "relu": lambda: sae.ReLU(start_l0=RELU_L0, decoder="free", **size),
        "relu_dense": lambda: sae.ReLU(decoder="free", **size),
    }
    model = built[variant]().train()
    model.init_from_(x)
    optimizer = Adam(model.parameters(), lr=LR, fused=True)

    def step(x: Tensor) -> None:
        s = model.step(x)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(model.losses(s).values())).sum().backward()
        model.track_(s)
        model.project_grad_()
        optimizer.step()
        model.project_()

    return step


def with_chosen_products(step: Step) -> Step:
    """The step, with products as they are in our programs, and as shipped again after it."""
    matmul = torch.backends.mkldnn.matmul
    choose_products()
    chosen, matmul.fp32_precision = matmul.fp32_precision, "none"

    def run(x: Tensor) -> None:
        matmul.fp32_precision = chosen
        step(x)
        matmul.fp32_precision = "none"

    return run


def makers(variant: str, d: int, n: int, x: Tensor, *, peers: bool) -> dict[str, Callable[[], Step]]:
    """What makes the step of each library."""
    found: dict[str, Callable[[], Step]] = {"saelab": lambda: ours(variant, d, n, x)}
    if not on_gpu():
        found = {"saelab": lambda: with_chosen_products(ours(variant, d, n, x)), SHIPPED: found["saelab"]}
    if peers:
        from peers import peers as others

        found |= others(variant, d, n, K)
    return found


def inputs(d: int, batch: int) -> Tensor:
    device = torch.get_default_device()
    return torch.randn(batch, d, generator=torch.Generator(device).manual_seed(0))


def on_gpu() -> bool:
    return torch.get_default_device().type == "cuda"


def timed(call: Callable[[], Any]) -> float:
    device = torch.get_default_device()
    start = now(device)
    call()
    return now(device) - start


def measure(steps: Mapping[str, Step], x: Tensor, n: int, rounds: int) -> dict[str, dict[str, float]]:
    """Ratio and rows per second of each, medians over interleaved rounds, each beside the encoder's own product."""
    W, b, out = torch.randn(x.shape[1], n), torch.zeros(n), torch.empty(len(x), n)
    for step in steps.values():
        some_steps(step, x)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            product = min(timed(lambda: torch.addmm(b, x, W, out=out)) for _ in range(2))
            took = timed(lambda step=step: step(x))
            found[name].append((5 * product / took, len(x) / took))
    medians = {
        name: [statistics.median(column) for column in zip(*values, strict=True)] for name, values in found.items()
    }
    return {name: {"ratio": round(ratio, 3), "samples_per_s": round(speed)} for name, (ratio, speed) in medians.items()}


def peak_mb(library: str, variant: str, d: int, n: int, batch: int) -> float:
    """Peak memory of a process of its own, above that after small steps; the median of several processes."""
    device = torch.get_default_device().type
    words = [sys.executable, __file__, "--device", device, "--one", library, variant, str(d), str(n), str(batch)]
    told = [subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(MEMORY_ROUNDS)]
    return statistics.median(float(text.splitlines()[-1]) for text in told)


def one(library: str, variant: str, d: int, n: int, batch: int) -> None:
    """In the process of its own: three steps, and what they took."""
    x, small, peers = inputs(d, batch), inputs(SMALL[0], SMALL[2]), not library.startswith("saelab")
    make = makers(variant, d, n, x, peers=peers)[library]
    some_steps(makers(variant, *SMALL[:2], small, peers=peers)[library](), small)  # what is loaded at first use
    if on_gpu():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        some_steps(make(), x)
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the small steps have freed
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = memory_mb("VmRSS")
    some_steps(make(), x)
    print(memory_mb("VmHWM") - before)


def some_steps(step: Step, x: Tensor) -> None:
    """Three, and on a GPU those after which ours tries its paths."""
    for _ in range(FIRST_TRIAL + 3 if on_gpu() else 3):
        step(x)


def memory_mb(what: str) -> float:
    """A line of Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 2**10


class Results:
    """The file of results: each cell replaces what was found for it before, and is written at once."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        machine = {"cores": os.cpu_count(), "threads": threads, "machine": platform.machine()}
        self.machine = machine | {"torch": torch.__version__, "cpu": cpu_name()}
        if on_gpu():
            self.machine["gpu"] = torch.cuda.get_device_name()
        before = json.loads(path.read_text()) if path.exists() else {}
        same = before.get("machine") == self.machine  # what another machine found is not mixed with this one's
        self.tables: dict[str, list[dict[str, Any]]] = {t: before[t] if same else [] for t in ("rows", "scaling")}

    def add(self, table: str, cell: dict[str, Any], **found: float) -> None:
        rows = self.tables[table]
        row = next((r for r in rows if cell.items() <= r.items()), None)
        if row is None:
            rows.append(row := dict(cell))
        row.update(found)
        self.path.write_text(json.dumps({"machine": self.machine, **self.tables}, indent=1) + "\n")
        print(json.dumps(row), flush=True)


def cpu_name() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def cell_of(library: str, variant: str, d: int, n: int, batch: int) -> dict[str, Any]:
    """What tells a row from the others."""
    k = {"relu": RELU_L0, "relu_dense": n // 2}.get(variant, K)
    return {"library": library, "variant": variant, "d_in": d, "d_sae": n, "batch": batch, "k": k}


def speeds(results: Results, table: str, variant: str, size: tuple[int, int, int], *, peers: bool, rounds: int) -> None:
    """The steps of one cell, side by side."""
    d, n, batch = size
    x = inputs(d, batch)
    steps = {name: make() for name, make in makers(variant, d, n, x, peers=peers).items()}
    for name, found in measure(steps, x, n, rounds).items():
        results.add(table, cell_of(name, variant, *size), **found)
    del steps
    gc.collect()


def show(rows: list[dict[str, Any]], variants: list[str], sizes: list[str]) -> None:
    """The table of ratios, ours beside the goal and the fastest of the others."""
    names = ("d / n / B", "variant", "saelab", "as shipped", "goal", "rows/s", "others")
    table = Table(*names, title="dense-limit ratio", title_justify="left")
    for size in sizes:
        for variant in variants:
            cell = [r for r in rows if r["variant"] == variant and (r["d_in"], r["d_sae"], r["batch"]) == SIZES[size]]
            ratios = {r["library"]: f"{r['ratio']:.2f}" for r in sorted(cell, key=lambda r: -r["ratio"])}
            mine, shipped = ratios.pop("saelab"), ratios.pop(SHIPPED, "")
            goal = "" if on_gpu() else str(GOALS[variant][list(SIZES).index(size)])
            speed = next(r["samples_per_s"] for r in cell if r["library"] == "saelab")
            table.add_row(size, variant, mine, shipped, goal, f"{speed:,}", ", ".join(map(" ".join, ratios.items())))
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--variants", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--ours", action="store_true", help="leave other libraries out")
    parser.add_argument("--memory", action="store_true", help="peak memory of each instead")
    parser.add_argument("--scaling", action="store_true", help="TopK over widths and batch sizes instead")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.device != "cpu":  # on a CPU it is, and being told so costs each call some microseconds
        torch.set_default_device(asked.device)  # of all libraries' weights, states and rows
    keep_freed_memory()
    if asked.one:
        one(*asked.one[:2], *map(int, asked.one[2:]))
        return
    file = "steps.json" if asked.device == "cpu" else f"steps_{asked.device}.json"
    results = Results(ROOT / "benchmarks/results" / file, asked.threads)
    options = {"peers": not asked.ours, "rounds": asked.rounds}
    if asked.scaling:
        d, n, batch = SCALED
        for width, size in sorted({(width, batch) for width in WIDTHS} | {(n, size) for size in BATCHES}):
            speeds(results, "scaling", "topk", (d, width, size), **options)
        return
    for size, variant in itertools.product(asked.sizes, asked.variants):
        if not asked.memory:
            speeds(results, "rows", variant, SIZES[size], **options)
            continue
        for name in makers(variant, *SIZES[size][:2], torch.empty(0), peers=not asked.ours):
            used = round(peak_mb(name, variant, *SIZES[size]))
            results.add("rows", cell_of(name, variant, *SIZES[size]), peak_mb=used)
    if not asked.memory:
        show(results.tables["rows"], asked.variants, asked.sizes)


if __name__ == "__main__":
    main()
