"""Images a second of each source, beside an implementation that makes one item at a time.

    python benchmarks/data.py

The reference makes the same kind of item the obvious way: a fresh random generator for each item (and for each
component of a sum), one picture per call, the pictures stacked into a batch at the end. Both sides run in turn, round
after round, and the medians are compared. Writes benchmarks/results/data.json.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from saelab.data import MNIST, Combined, Loops, LowBitTag, LowFreqTag, NoiseTags, Source

BATCH, THREADS = 1024, 2
MAX_ROUNDS, BUDGET_S = 41, 40.0
REFERENCE_ITEMS = BATCH
MEAN, STD = 0.1307, 0.3081
Item = tuple[Tensor, Tensor]
Reference = Callable[[int], Item]


def normalise(x: Tensor) -> Tensor:
    return (x - MEAN) / STD


def one_hot(label: int) -> Tensor:
    y = torch.zeros(10)
    y[label] = 1
    return y


def generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(
        sum(n * p for n, p in zip(numbers, (1_000_003, 10_007, 2_000_033), strict=False))
    )


def shift(g: torch.Generator, most: int) -> tuple[int, int]:
    dx, dy = (int(torch.randint(-most, most + 1, (), generator=g)) for _ in range(2))
    return dx, dy


def digit_items(source: MNIST, *, jitter: int = 0, degrees: float = 0.0, normalised: bool = True) -> Reference:
    n = source.size("train")
    images = (source.originals("train", torch.arange(n)) * 255).round().to(torch.uint8)
    labels = source.batch("train", torch.arange(n)).labels["digit"]

    def item(i: int) -> Item:
        x = images[i % n].float().div(255)[None]
        if jitter:
            g = generator(i)
            dx, dy = shift(g, jitter)
            x = pad(x, (jitter,) * 4)[:, jitter + dy : jitter + dy + 28, jitter + dx : jitter + dx + 28]
            a = math.radians((2 * float(torch.rand((), generator=g)) - 1) * degrees)
            theta = torch.tensor([[[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0]]])
            x = grid_sample(x[None], affine_grid(theta, [1, 1, 28, 28], align_corners=False), align_corners=False)[0]
        return (normalise(x) if normalised else x), labels[i % n]

    return item


def rolled_items(source: NoiseTags | LowBitTag, *, normalised: bool = True) -> Reference:
    bank, m = source.base_pictures()[:, None], source.images_per_class

    def item(i: int) -> Item:
        i %= len(bank)
        dx, dy = shift(generator(i), source.shift_max)
        x = torch.roll(bank[i].clone(), (dy, dx), (1, 2))
        return (normalise(x) if normalised else x), one_hot(i // m)

    return item


def cropped_items(source: LowFreqTag) -> Reference:
    bank, m = source.base_pictures()[:, None], source.images_per_class

    def item(i: int) -> Item:
        i %= len(bank)
        dx, dy = shift(generator(i), source.jitter_max)
        return normalise(bank[i].clone()[:, 4 + dy : 32 + dy, 4 + dx : 32 + dx]), one_hot(i // m)

    return item


def loop_items(source: Loops) -> Reference:
    def item(i: int) -> Item:
        g = np.random.default_rng(i * 10_007)
        size, tx, ty, aspect, theta, thickness, brightness, p_shape = (g.uniform(*r) for r in source.ranges.values())
        y, x = np.mgrid[0:28, 0:28] - 13.5
        dx, dy, a, b = x - tx, y - ty, size * aspect, size
        u = math.cos(theta) * dx + math.sin(theta) * dy
        v = -math.sin(theta) * dx + math.cos(theta) * dy
        p = 2 * math.exp(p_shape)
        r = np.exp(np.logaddexp(p * np.log(abs(u) / a + 1e-12), p * np.log(abs(v) / b + 1e-12)) / p)
        radius = (a + b) / 2
        alpha = np.clip((0.5 * thickness / radius - abs(r - 1)) / (0.5 / radius) + 0.5, 0, 1)
        return torch.from_numpy((brightness * alpha).astype(np.float32))[None], torch.zeros(10)

    return item


def summed_items(parts: list[tuple[Reference, int]]) -> Reference:
    def item(i: int) -> Item:
        x, y = torch.zeros(1, 28, 28), torch.zeros(10)
        for k, (part, n) in enumerate(parts):
            picture, label = part(int(torch.randint(0, n, (), generator=generator(k, i))))
            x = x + picture
            y = y + (label if label.dim() else one_hot(int(label)))
        return normalise(x.clamp(0, 1)), y.clamp(0, 1)

    return item


def cases() -> dict[str, tuple[Source, Reference]]:
    mnist, moved = MNIST(), MNIST(jitter_crop=2, rotation_degrees=10.0)
    noise, bits, clouds, loops = NoiseTags(), LowBitTag(), LowFreqTag(), Loops(train_length=5000)
    plain_digit, plain_noise = MNIST(normalize=False), NoiseTags(normalize=False)
    combined = Combined(components={"digit": plain_digit, "tag": plain_noise})
    summed = summed_items(
        [
            (digit_items(plain_digit, normalised=False), plain_digit.size("train")),
            (rolled_items(plain_noise, normalised=False), plain_noise.size("train")),
        ]
    )
    return {
        "mnist": (mnist, digit_items(mnist)),
        "mnist, jitter and rotation": (moved, digit_items(moved, jitter=2, degrees=10.0)),
        "noise_tags": (noise, rolled_items(noise)),
        "lowfreq_tag": (clouds, cropped_items(clouds)),
        "lowbit_tag": (bits, rolled_items(bits)),
        "loops": (loops, loop_items(loops)),
        "combined (mnist + noise_tags)": (combined, summed),
    }


def ours(source: Source) -> float:
    """Images a second through the training loader: epochs of at least 20,000 images in all, after a first one."""
    epoch(source)
    start, images = time.perf_counter(), 0
    while images < 20_000:
        images += epoch(source)
    return images / (time.perf_counter() - start)


def epoch(source: Source) -> int:
    return sum(len(batch.x) for batch in source.train_dataloader())


def one_at_a_time(reference: Reference) -> float:
    start = time.perf_counter()
    for first in range(0, REFERENCE_ITEMS, BATCH):
        items = [reference(i) for i in range(first, first + BATCH)]
        torch.stack([x for x, _ in items])
        torch.stack([y for _, y in items])
    return REFERENCE_ITEMS / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(THREADS)
    measured: dict[str, tuple[list[float], list[float]]] = {}
    prepared = cases()
    for source, _ in prepared.values():
        source.batch_size = BATCH
        source.setup()
    start = time.perf_counter()
    for round_ in range(MAX_ROUNDS + 1):
        if time.perf_counter() - start > BUDGET_S:
            break
        for name, (source, reference) in prepared.items():
            speeds = ours(source), one_at_a_time(reference)
            if round_ > 0:  # the first warms up
                for kept, speed in zip(measured.setdefault(name, ([], [])), speeds, strict=True):
                    kept.append(speed)
    report({name: summary(a, b) for name, (a, b) in measured.items()})


def summary(mine: list[float], theirs: list[float]) -> dict[str, float]:
    median, fastest = ((choose(mine), choose(theirs)) for choose in (statistics.median, max))
    return {
        "rounds": len(mine),
        "images_per_s": median[0],
        "reference_images_per_s": median[1],
        "ratio": median[0] / median[1],
        # the fastest round of either side is the one that other programs disturbed least
        "fastest_images_per_s": fastest[0],
        "fastest_reference_images_per_s": fastest[1],
        "fastest_ratio": fastest[0] / fastest[1],
    }


def report(rows: dict[str, dict[str, float]]) -> None:
    title = f"Images/s in batches of {BATCH} on {THREADS} threads: median (fastest round)"
    table = Table("source", "batched", "one at a time", "ratio", title=title)
    for name, row in rows.items():
        cells = [
            f"{row[key]:,.0f} ({row[f'fastest_{key}']:,.0f})" for key in ("images_per_s", "reference_images_per_s")
        ]
        table.add_row(name, *cells, f"{row['ratio']:.0f}x ({row['fastest_ratio']:.0f}x)")
    Console(width=120).print(table)
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__}
    result = {"machine": machine, "threads": THREADS, "batch": BATCH, "sources": rows}
    target = Path(__file__).parent / "results" / "data.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
