"""Does one set of defaults hold L0 at its target, for every layer, width and target, and what does it cost in EV?

    python benchmarks/lagrangian.py [--data-dir FOLDER] [--seeds 3] [--only mnist]

Trains `lagrangian` and `batchtopk` as their YAMLs are, treatments and schedule as in the quickstart, on the same
batches: activations of the MNIST MLP (from the quickstart's digits, or from the four MNIST files in FOLDER) and a toy
whose rows are sparse sums of random unit vectors. Then, on test rows: L0 over target, with the thresholds that training
left; EV; and the EV of BatchTopK at that same L0, which one threshold gives it. The toy takes more steps, as its
features are found late.

Writes `benchmarks/results/lagrangian.json`. Takes an hour or more on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# a script's own folder comes first on the path, and a file of it is called like a variant
sys.path[:1] = [str(ROOT / "src")]

import torch  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from saelab.commands.feed import feed  # noqa: E402
from saelab.config.compose import compose, set_log_dir  # noqa: E402
from saelab.modules.optim import ramp  # noqa: E402
from saelab.run import build  # noqa: E402
from saelab.sae import SAE  # noqa: E402

STEPS = {"mnist": 500, "toy": 2000}
BATCH, CLIP, PART = 256, 1.0, 2000
WIDTHS, TARGETS = (512, 2048), (4, 8, 16, 32, 64)
TOY = {"d": 128, "features": 512, "active": 16, "train": 100_000, "test": 10_000}


class Rows(NamedTuple):
    """Activations to train on, and to test on."""

    train: Tensor
    test: Tensor


def mnist(data_dir: str | None) -> Rows:
    """Activations of the quickstart's site; its base network and its store are found, or made."""
    cfg = compose("train", ["experiment=quickstart", *([f"data.dir={data_dir}"] if data_dir else [])])
    given = feed(cfg)
    train, test = (
        given.store.read(split, given.site, slice(0, given.store.rows(split))) for split in ("train", "test")
    )
    return Rows(train, test)


def toy() -> Rows:
    """Σ_j a_j u_j: each of the unit u_j is on with its own probability, falling as 1/√j; a_j is uniform in 1 to 1.5."""
    g = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(TOY["features"], TOY["d"], generator=g), dim=1)
    share = torch.arange(1, TOY["features"] + 1).rsqrt()
    share *= TOY["active"] / share.sum()

    def rows(n: int) -> Tensor:
        on = torch.rand(n, TOY["features"], generator=g) < share
        return (on * (1 + 0.5 * torch.rand(n, TOY["features"], generator=g))) @ atoms

    return Rows(torch.cat([rows(PART) for _ in range(TOY["train"] // PART)]), rows(TOY["test"]))


@cache
def shipped(variant: str) -> dict[str, Any]:
    """The quickstart's `model` node with this variant."""
    cfg = compose("train", ["experiment=quickstart", f"model={variant}"])
    return OmegaConf.to_container(cfg.model, resolve=True)  # type: ignore[return-value]


def fitted(variant: str, key: str, rows: Rows, *, width: int, target: int, seed: int, steps: int) -> SAE:
    """The variant, trained by a plain loop; rows are drawn with replacement, the same ones for every variant."""
    model = shipped(variant)
    torch.manual_seed(seed)
    sae = build(model["sae"] | {"d_in": rows.train.shape[1], "d_sae": width, key: target, "start_l0": target})
    sae.init_from_(rows.train[: model["init_rows"]])
    optimizer = torch.optim.Adam(sae.parameters(), lr=model["optimizer"]["lr"], fused=True)
    g = torch.Generator().manual_seed(seed)
    for i in range(steps):
        rate = ramp(i, steps, model["lr_warmup"], model["lr_decay"], model["lr_shape"])
        optimizer.param_groups[0]["lr"] = model["optimizer"]["lr"] * rate
        step = sae.step(rows.train[torch.randint(len(rows.train), (BATCH,), generator=g)])
        optimizer.zero_grad()
        torch.stack(list(sae.losses(step).values())).sum().backward()
        sae.track_(step)
        nn.utils.clip_grad_norm_(sae.parameters(), CLIP)
        sae.project_grad_()
        optimizer.step()
        sae.project_()
    return sae.eval()


@torch.no_grad()
def measured(sae: SAE, x: Tensor, l0: float | None = None) -> dict[str, float]:
    """L0, EV and the share of dead latents; with `l0`, of codes that exceed the one threshold that gives it."""
    if l0 is None:
        f = torch.cat([sae.encode(part) for part in x.split(PART)])
    else:
        pre = torch.cat([sae.preactivate(sae.norm(part)) for part in x.split(PART)]).relu()
        f = pre * (pre > pre.flatten().kthvalue(pre.numel() - round(l0 * len(x))).values)
    error = sum((y - sae.decode(c)).square().sum().item() for y, c in zip(x.split(PART), f.split(PART), strict=True))
    total = (x - x.mean(0)).square().sum().item()
    return {
        "l0": (f != 0).sum().item() / len(x),
        "ev": 1 - error / total,
        "dead": (~(f != 0).any(0)).float().mean().item(),
    }


def case(name: str, rows: Rows, width: int, target: int, *, seeds: int, steps: int) -> dict[str, Any]:
    """One row of the table: means over seeds, and the L0 of each."""
    ours, theirs = [], []
    for seed in range(seeds):
        how: dict[str, Any] = {"width": width, "target": target, "seed": seed, "steps": steps}
        ours.append(measured(fitted("lagrangian", "target_l0", rows, **how), rows.test))
        peer = fitted("batchtopk", "k", rows, **how)
        theirs.append(measured(peer, rows.test, ours[-1]["l0"]))

    def mean(found: list[dict[str, float]], key: str) -> float:
        return sum(each[key] for each in found) / seeds

    return {
        "data": name,
        "steps": steps,
        "width": width,
        "target": target,
        "l0_over_target": mean(ours, "l0") / target,
        "each_seed": [each["l0"] / target for each in ours],
        "ev": mean(ours, "ev"),
        "ev_batchtopk": mean(theirs, "ev"),
        "dead": mean(ours, "dead"),
        "dead_batchtopk": mean(theirs, "dead"),
    }


def show(found: list[dict[str, Any]], title: str) -> None:
    """The table, and the two numbers that it is for."""
    cell, scores = ("data", "steps", "width", "target"), ("EV", "EV BatchTopK", "dead", "dead BatchTopK")
    table = Table(*cell, "L0 / target", "each seed", *scores, title=title)
    for row in found:
        seeds = " ".join(f"{each:.3f}" for each in row["each_seed"])
        ev = [f"{row[key]:.4f}" for key in ("ev", "ev_batchtopk")]
        dead = [f"{row[key]:.1%}" for key in ("dead", "dead_batchtopk")]
        table.add_row(*(str(row[key]) for key in cell), f"{row['l0_over_target']:.3f}", seeds, *ev, *dead)
    Console(width=120).print(table)
    off = max(abs(each - 1) for row in found for each in row["each_seed"])
    least = min(row["ev"] - row["ev_batchtopk"] for row in found)
    print(f"Farthest from its target: {off:.1%}. Least EV beside BatchTopK at the same L0: {least:+.4f}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder of the four MNIST files; without it, the bundled digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=list(STEPS), help="one kind of rows; the file keeps the others'")
    options = parser.parse_args()
    set_log_dir()
    torch.set_num_threads(1)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # twice as fast where a CPU knows bf16, no change where not
    out = ROOT / "benchmarks/results/lagrangian.json"
    before = json.loads(out.read_text())["rows"] if options.only and out.exists() else []
    start, found = time.perf_counter(), []
    for data in [options.only] if options.only else STEPS:
        rows = toy() if data == "toy" else mnist(options.data_dir)
        name = data if data == "toy" else f"{data}, {len(rows.train):,} rows"
        for width in WIDTHS:
            for target in TARGETS:
                found.append(case(name, rows, width, target, seeds=options.seeds, steps=STEPS[data]))
                print(json.dumps(found[-1]), f"{time.perf_counter() - start:.0f} s", flush=True)
    found = [row for row in before if not row["data"].startswith(options.only)] + found
    show(found, f"batches of {BATCH} rows, {options.seeds} seeds")
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "torch": torch.__version__}
    facts = {"batch": BATCH, "seeds": options.seeds}
    out.write_text(json.dumps({"machine": machine, **facts, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
