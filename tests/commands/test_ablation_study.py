"""Interventions on concepts over many runs: differences to the untouched ones, of runs whose answers are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from concept_runs import job, sweep
from saelab.analysis.save import write_csv
from saelab.commands.studies import studies
from saelab.plots.read import number, read_rows
from saelab.plots.studies import draw_studies
from saelab.report.ablation_findings import ablations, ablations_table, lead

LOSS = {"none": (0.0, 0.0), "drop": (0.3, 0.0), "lda": (0.2, 0.2), "penalise": (0.0, 0.0)}


def ablated(folder: Path, *, left: float = 0.0) -> Path:
    """Four ways, two targets, three seeds: after it the target has lost so much and each other digit so much."""
    keys = [
        {"model.ablation.how": how, "model.ablation.concept": f"digit/{c}", "seed": s}
        for how in LOSS
        for c in "12"
        for s in range(3)
    ]
    table = sweep(folder, [job(key, 8, {"digit": "01234"}) for key in keys])
    for row in read_rows(table):
        how, target, s = row["model.ablation.how"], row["model.ablation.concept"][-1], int(row["seed"])
        rows = []
        for i, phase in enumerate(("before", "after", "end")):
            for c in "01234":
                lost = (LOSS[how][c != target] * (1 + 0.01 * s)) * (i == 1) + left * (1 + 0.01 * s) * (i == 2) * (
                    c == target
                )
                level = 0.9 - 0.01 * s + 0.001 * int(target) - (lost if how != "none" else 0)
                cells = {"how": how, "phase": phase, "step": i, "target": int(c == target), "family": "digit"}
                cells |= {"concept": c, "recovered": 1, "best_auc": level, "ev": level, "probe_auc": 1.0}
                rows.append(cells | ({"penalised": 0} if how == "penalise" else {}))
        write_csv(Path(row["run"]) / "figures/ablation.csv", rows)
    return studies(table)


def test_differences_are_of_the_same_seed_and_target(tmp_path: Path) -> None:
    folder = ablated(tmp_path)
    assert [file.name for file in folder.iterdir()] == ["ablation.csv"]  # no study of sparsity
    rows = {(r["how"], r["measure"], r["phase"], r["who"]): r for r in read_rows(folder / "ablation.csv")}
    drop = rows["drop", "ev", "after", "target"]
    assert number(drop["mean"]) == pytest.approx(-0.3 * 1.01)
    assert number(drop["level"]) == pytest.approx(0.9 - 0.01 + 0.0015 - 0.303)
    half = 4.302653 * 0.003 / 3**0.5  # differences of 0.3, 0.303 and 0.306
    assert number(drop["high"]) - number(drop["mean"]) == pytest.approx(half, rel=1e-4)
    assert number(rows["drop", "ev", "after", "bystanders"]["mean"]) == pytest.approx(0)
    assert number(rows["drop", "ev", "after", "selectivity"]["mean"]) == pytest.approx(0.303)
    assert number(rows["lda", "ev", "after", "selectivity"]["mean"]) == pytest.approx(0, abs=1e-9)
    assert number(rows["drop", "ev", "after", "target"]["q"]) < 0.01
    assert rows["drop", "ev", "before", "target"]["q"] == ""
    assert number(rows["drop", "ev", "end", "target"]["mean"]) == pytest.approx(0)
    assert rows["penalise", "ev", "end", "target"]["penalised"] == "0.0"


def test_what_is_selective_is_told_and_what_came_back(tmp_path: Path) -> None:
    folder = ablated(tmp_path)
    assert "ablation" in draw_studies(folder)
    tables = {"ablation": read_rows(folder / "ablation.csv")}
    said = ablations(tables)
    (ev,) = [line for line in said if line.startswith("Variance explained of its own rows: ")]
    assert "lowered more than the others' by drop (-30 (-31 to -30) points, the others +0" in ev
    assert "lowered with the others' by lda (-20" in ev
    assert ev.endswith("not significantly (q ≥ 0.05) by penalise.")
    assert "The AUC of a probe on all codes: nothing lowers it significantly." in said
    assert said[-2].startswith("Once given back, the concept is as in the untouched runs: none of 9\xa0differences")
    assert said[-1] == "No latent was pure for the concept when penalties began."
    first, second = lead(tables)
    assert first.startswith("The concept is lost most selectively by drop: variance explained of its own rows -30 (")
    assert second == said[-2]
    table = ablations_table(tables)
    assert table is not None
    (line,) = [line for line in table.lines if line[1].text == "drop"]
    assert line[5].text == "-30.3 ± 0.7"
    assert line[5].strong


def test_what_did_not_come_back_is_told(tmp_path: Path) -> None:
    said = ablations({"ablation": read_rows(ablated(tmp_path, left=0.1) / "ablation.csv")})
    assert any(line.startswith("Not all came back by the end of training: drop: the AUC of its best") for line in said)
