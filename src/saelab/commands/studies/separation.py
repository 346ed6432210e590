"""Which models tell the parts of a sum from each other, over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saelab.analysis.readout import UNITS
from saelab.commands.studies.measures import interval
from saelab.commands.studies.points import Points, called

SPLITS = ("test", "test_unseen")
RIVALS = {"pca": "principal axes", "linear": "lines learned with the truth"}


def separation(found: Points) -> list[dict[str, Any]]:
    """A row per setting and measure: mean and interval over seeds of SDRs, of read-outs, and of EV.

    kind: `ev`; `sdr`, of `what` from the stream that is for it; or the read-out `dense`, `sparse`, `raw` of `what`.
    unit: of a read-out, `acc`, or `factor_r2` where `what` has continuous factors.
    model: the setting's, or what it is held against: principal axes and the best lines, which no seed changes; of
    principal axes, which are as many as a model's dense code is wide, those that do best.
    group: what else tells settings apart. swapped: of the seeds, those whose dense stream is for another component than
    the first.
    """
    named = [name for name in found.metrics if name.startswith("separation/test")]
    if not named:
        return []
    rows, rivals = [], {}
    for point in found.all:
        group, model = sides(point.setting.keys)
        at = {"group": group, "model": model}
        swapped = point.setting.mean("separation/swapped")
        measured = [("test/ev", "ev", "", "test"), *(m for name in named if (m := measure(name)) is not None)]
        for name, kind, what, split in measured:
            told = interval(list(point.by_seed(name).values()))
            of = {"kind": kind, "what": what, "split": split, "unit": unit(name)}
            rows.append(at | of | told | {"swapped": swapped})
        for name in named:
            who, _, kind = name.rpartition("/")[2].rpartition("_")
            if who in RIVALS and kind == "sdr":
                _, split, what, _ = name.split("/")
                told = interval(list(point.by_seed(name).values())[:1])
                of = {"kind": "sdr", "what": what, "split": split, "unit": ""}
                row = {"group": group, "model": RIVALS[who], **of, **told}
                rivals[group, who, what, split] = max(row, rivals.get((group, who, what, split), row), key=mean)
    return [row for row in [*rows, *rivals.values()] if row["n"]]


def mean(row: Mapping[str, Any]) -> float:
    return row["mean"]


def sides(keys: Mapping[str, str]) -> tuple[str, str]:
    """What a setting is but for its model, and its model."""
    model = ", ".join(value for name, value in keys.items() if name == "model") or "the model"
    return ", ".join(called(name, value) for name, value in keys.items() if name != "model" and value), model


def measure(name: str) -> tuple[str, str, str, str] | None:
    """Metric, kind, what and split of those that are compared."""
    parts = name.split("/")
    if len(parts) != 4 or parts[1] not in SPLITS:
        return None
    _, split, what, last = parts
    if last == "sdr":
        return name, "sdr", what, split
    code = last.removesuffix(f"_{unit(name)}")
    return (name, code, what, split) if unit(name) and code in ("dense", "sparse", "raw") else None


def unit(name: str) -> str:
    """What a read-out's metric ends with, empty for other metrics."""
    return next((end for end in UNITS.values() if name.endswith(f"_{end}")), "")
