"""How long does a packed sweep take, beside the same jobs one after the other?

    python benchmarks/packed.py --data-dir FOLDER [--members 4] [--rounds 2] [--threads 1]

A few of the jobs of `sweep=relu_l1` (ReLU SAEs on the MNIST MLP, five epochs, probes and reports as in the sweep), in
three ways: each as a program of its own (one of either width is started, which stands for the others), as a multirun,
and as a multirun with `packed=true`. Rounds are interleaved, since a machine is not equally fast at all times; ratios
are those of a round, and their median counts. Times are wall times, and the processor's own, which another program on
the machine disturbs less.

What a program costs once is told from what each job costs by the jobs' own `wall_s`: so 40 jobs are extrapolated.

Writes `benchmarks/results/packed.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
L1 = (0.0001129, 0.0483, 0.001274, 1e-05, 0.1624, 1)
WIDTHS = (256, 512)
SWEEP = 40  # jobs of the whole sweep


class Cost(NamedTuple):
    """Seconds that passed, seconds of the processor, and how often more 40 jobs would have taken."""

    wall: float
    cpu: float
    times: float


def program(*args: str, threads: int, data_dir: str, sweep: Path | None = None) -> Cost:
    """One call of `train.py`, to its end."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    words = [*args, f"data.dir={data_dir}", "trainer.max_epochs=5", *([f"hydra.sweep.dir={sweep}"] if sweep else [])]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, str(ROOT / "src/train.py"), *words], env=env, check=True, capture_output=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if sweep is None:
        return Cost(wall, cpu, SWEEP)
    own = [json.loads(file.read_text())["wall_s"] for file in sweep.glob("*/run.json")]
    return Cost(wall, cpu, (wall - sum(own) + SWEEP / len(own) * sum(own)) / wall)


def round_of(n: int, folder: Path, options: dict[str, Any]) -> dict[str, Cost]:
    """Each way once."""
    lone = [
        program("experiment=mnist_relu", f"model.sae.d_sae={d}", f"model.sae.l1={L1[1]}", **options) for d in WIDTHS
    ]
    costs = {"separate": Cost(*(statistics.mean(values) for values in zip(*lone, strict=True)))}
    for way, packed in (("multirun", "false"), ("packed", "true")):
        penalties = ",".join(map(str, L1[: n // len(WIDTHS)]))
        words = ["-m", "sweep=relu_l1", f"model.sae.l1={penalties}", f"packed={packed}"]
        costs[way] = program(*words, **options, sweep=(place := Path(tempfile.mkdtemp(dir=folder))))
        shutil.rmtree(place)
    return costs


def summary(rounds: list[dict[str, Cost]], n: int) -> dict[str, Any]:
    """Medians over rounds: of seconds, and of the ratios within a round."""

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    found: dict[str, Any] = {}
    for kind in ("wall", "cpu"):
        few = [{way: getattr(cost, kind) * (n if way == "separate" else 1) for way, cost in r.items()} for r in rounds]
        all_ = [{way: getattr(cost, kind) * cost.times for way, cost in r.items()} for r in rounds]
        for jobs, times in ((n, few), (SWEEP, all_)):
            found[f"{kind}, {jobs} jobs"] = {
                **{f"seconds {way}": median([row[way] for row in times]) for way in times[0]},
                "packed / separate": median([row["packed"] / row["separate"] for row in times]),
                "packed / multirun": median([row["packed"] / row["multirun"] for row in times]),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="folder of the four MNIST files")
    parser.add_argument("--members", type=int, default=4, choices=range(4, 13, 2), help="jobs of a multirun")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    options = {"threads": given.threads, "data_dir": given.data_dir}
    program("experiment=mnist_relu", "model.sae.d_sae=64", "probe=null", "report=false", **options)  # base and store
    rounds: list[dict[str, Cost]] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.rounds):
            rounds.append(round_of(given.members, Path(folder), options))
            print(json.dumps({way: [round(v, 1) for v in cost] for way, cost in rounds[-1].items()}), flush=True)
    found = summary(rounds, given.members)
    print(json.dumps(found, indent=1))
    machine = {"cores": os.cpu_count(), "threads": given.threads, "machine": platform.machine()}
    facts = {"members": given.members, "rounds": given.rounds, "load": os.getloadavg()[1]}
    out = ROOT / "benchmarks/results/packed.json"
    out.write_text(json.dumps({"machine": machine, **facts, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
