"""What a page says of concepts: which came, in which order, which were lost, and how sure each AUC is."""

import pytest
from run_files import info, sae_run, write_run
from test_page import read

from saelab.analysis.save import write_csv
from saelab.report import page
from saelab.report.facts import facts
from saelab.report.findings import findings

NBSP = "\N{NO-BREAK SPACE}"


def write_dynamics(run, table, steps=(0, 5, 10), families=("digit",)):
    figures = run / "figures"
    rows = [
        {"step": s, "epoch": 0, "family": f, "concept": c, "best_auc": 0.9, "recovered": on[i], "detected": 1}
        for i, s in enumerate(steps)
        for f in families
        for c, on in table.items()
    ]
    write_csv(figures / "concept_dynamics.csv", rows)
    whole = [{"step": s, "epoch": 0, "l0": 12.0, "ev": 0.5 + s / 100, "dead": 0.0} for s in steps]
    counts = {f"{name}_{f}": 1 for name in ("recovered", "detected") for f in families}
    write_csv(figures / "concept_dynamics_summary.csv", [row | counts for row in whole])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"0": (0, 1, 1), "1": (0, 1, 0), "2": (0, 0, 1), "3": (0, 0, 0)},
            f"While it was trained, 3 of 4{NBSP}concepts had a latent of their own at some step, 2 at the last: first "
            f"“0” and “1” at step 5 (L0 12, 55.0{NBSP}% of the variance explained), last “2” at step 10; “1” was lost "
            "again; “3” never came.",
        ),
        (
            {"0": (1, 0, 0), "1": (1, 1, 0)},
            f"While it was trained, 2 of 2{NBSP}concepts had a latent of their own at some step, 0 at the last: first "
            "all of them before the first step; all of them were lost again.",
        ),
        (
            {"0": (0, 0, 0)},
            f"None of 1{NBSP}concept is ever recovered by a latent of its own while it is trained.",
        ),
    ],
)
def test_the_sentence(table, said, tmp_path):
    write_dynamics(write_run(tmp_path, info(), {}), table)
    assert findings(facts(tmp_path)) == [said]


def test_families_are_named_and_many_concepts_counted(tmp_path):
    write_dynamics(write_run(tmp_path, info(), {}), {str(c): (0, 0, 1) for c in range(4)}, families=("digit", "tag"))
    assert "first all of them at step 10" in findings(facts(tmp_path))[0]
    write_dynamics(tmp_path, {"0": (0, 1, 1)} | {str(c): (0, 0, 0) for c in range(1, 9)}, families=("digit", "tag"))
    (sentence,) = findings(facts(tmp_path))
    assert "first digit “0” and tag “0” at step 5" in sentence
    assert f"16{NBSP}concepts never came." in sentence


def test_the_page_has_the_figures_and_the_intervals(tmp_path):
    run = sae_run(tmp_path / "sae")
    write_dynamics(run, {str(c): (0, 1, c % 2) for c in range(10)})
    parsed = read(page(run))
    assert len(parsed.images) == 7
    assert "When each concept comes" in parsed.text
    assert "Which concepts are kept" in parsed.text
    assert "latent of its own" in parsed.text
    (row,) = [row for row in facts(run).concepts if row["concept"] == "0"]
    low, high = (f"{float(row[f'best_auc_{end}']):.3f}" for end in ("low", "high"))
    assert f"{low}\N{EN DASH}{high}" in parsed.text
    assert {row["recovered"] for row in facts(run).concepts} <= {"0", "1"}
