"""What is written of concepts is appended; a look that a kill cut short is forgotten and written again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from saelab.modules.concept_files import COLUMNS, Dynamics

STEPS = (0, 8, 12)


def look(step: int) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Two concepts, one of which no latent tells; and more than is written."""
    concepts = [
        {"family": "axis", "concept": name, "mean_auc": 0.5} | dict.fromkeys(COLUMNS, value)
        for name, value in (("a, b", 0.25 + step), ("7", float("nan")))
    ]
    return {"step": step, "epoch": step // 8}, concepts, {"l0": 2.5, "recovered_axis": step}


def written(folder: Path, *steps: int) -> list[bytes]:
    dynamics = Dynamics(folder, 0)
    for step in steps:
        dynamics.add(*look(step))
    return contents(folder)


def contents(folder: Path) -> list[bytes]:
    return [(folder / f"concept_dynamics{part}.csv").read_bytes() for part in ("", "_summary")]


def test_looks_are_added_in_turn(tmp_path: Path) -> None:
    concepts, summary = written(tmp_path, 0, 8)
    one, half = ",".join(["0.25"] * 6), ",".join(["8.25"] * 6)
    assert concepts.decode().splitlines() == [
        "step,epoch,family,concept,best_auc,recovered,detected,pure,ev,probe_auc",
        f'0,0,axis,"a, b",{one}',
        "0,0,axis,7,,,,,,",
        f'8,1,axis,"a, b",{half}',
        "8,1,axis,7,,,,,,",
    ]
    assert summary.decode().splitlines() == ["step,epoch,l0,recovered_axis", "0,0,2.5,0", "8,1,2.5,8"]


@pytest.mark.parametrize("part", [0, 1])
def test_a_look_cut_anywhere_is_written_again(part: int, tmp_path: Path) -> None:
    """The first file is written before the second."""
    before, after = written(tmp_path, *STEPS[:2]), written(tmp_path, *STEPS)
    paths = [tmp_path / f"concept_dynamics{end}.csv" for end in ("", "_summary")]
    for end in range(len(before[part]), len(after[part]) + 1):
        left = [after[0][:end], before[1]] if part == 0 else [after[0], after[1][:end]]
        for step, expected in ((8, before), (12, after)):
            for path, text in zip(paths, left, strict=True):
                path.write_bytes(text)
            dynamics = Dynamics(tmp_path, step)
            assert dynamics.knows(8)
            assert dynamics.knows(12) == (step == 12 and left == after)
            if step == 12 and not dynamics.knows(12):
                assert contents(tmp_path) == before
                dynamics.add(*look(12))
            assert contents(tmp_path) == expected


def test_a_run_that_begins_again_has_nothing(tmp_path: Path) -> None:
    written(tmp_path, *STEPS)
    assert not any(Dynamics(tmp_path, 0).knows(step) for step in STEPS)
    assert not list(tmp_path.iterdir())


def test_without_classes_there_is_a_summary_alone(tmp_path: Path) -> None:
    dynamics = Dynamics(tmp_path, 0)
    for step in STEPS:
        at, _, whole = look(step)
        dynamics.add(at, [], whole)
    (file,) = tmp_path.iterdir()
    assert [row["step"] for row in csv.DictReader(file.open())] == ["0", "8", "12"]
