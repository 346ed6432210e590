"""The page over many runs says what the studies found, and what is not significant."""

import json
from pathlib import Path

from test_page import read

from concept_runs import BOTH, by_k, job, sweep
from saelab.commands.studies import studies
from saelab.plots.read import read_rows
from saelab.report import compare
from saelab.report.study_findings import (
    agreements,
    codiscards,
    families,
    matched_variants,
    sparsities,
    vanished,
)
from saelab.report.study_tables import halves_table, matched_table, trained_table, vanishing_table
from saelab.report.trained_findings import trained


def tables(folder):
    return {file.stem: read_rows(file) for file in folder.glob("*.csv")}


def study(tmp_path, jobs, families=None):
    return tables(studies(sweep(tmp_path, jobs, *([families] if families else []))))


def test_a_cliff_is_told_with_its_step(tmp_path):
    found = study(tmp_path, by_k({4: "0", 8: "01", 16: "01234", 32: "01234"}))
    best, cliff = sparsities(found)
    assert best.startswith("Most digit concepts are recovered at L0 16.2: 5.0 (5.0 to 5.0) of 5; fewest at L0 4.04:")
    assert cliff.startswith("The digit concepts fall off a cliff, more than half in one step, here")
    assert "5.0 to 2.0 between L0 16.2 and 8.08" in cliff


def test_no_cliff_is_told_too(tmp_path):
    found = study(tmp_path, by_k({4: "0", 8: "01", 16: "0123", 32: "01234"}))
    assert sparsities(found)[1].startswith("There is no cliff: the largest step loses 2.0 of 5, 4.0 to 2.0 between L0")


def test_which_concepts_last(tmp_path):
    found = study(tmp_path, by_k({4: "3", 8: "13", 16: "013", 32: "013"}))
    (said,) = vanished(found)
    assert said.startswith("Of the digit concepts 3 survives to the sparsest codes and 0 vanishes first; never rec")
    assert "; the seeds agree on the order (Kendall's W 1.00" in said
    lines = vanishing_table(found).lines
    assert [line[1].text for line in lines] == ["3", "1", "0", "2", "4"]
    assert lines[0][2].text == "4.04 (4 to 4.14)"
    assert lines[3][2].text == "never"


def test_pairs_or_none(tmp_path):
    (said,) = codiscards(study(tmp_path, by_k({4: "4", 8: "4", 16: "01234"})))
    assert "none is discarded together more than by chance (smallest q = 1)" in said
    kept = {2: "4", 4: "4", 8: "4", 16: "01", 32: "0", 64: ""}
    (said,) = codiscards(study(tmp_path / "one", by_k(kept, seeds=1)))
    assert said.startswith("No setting was trained with several seeds")


def control_jobs(gain):
    return [
        job(
            {"model": model, "l0": k, "seed": s},
            k,
            {"digit": "012" if model == "topk" else "01"},
            ev=0.9 + 0.001 * s if model == "topk" else 0.9 - gain,
        )
        for model in ("topk", "control/xavier", "control/kaiming")
        for k in (4, 8, 16)
        for s in range(4)
    ]


def test_trained_beside_untrained(tmp_path):
    found = study(tmp_path, control_jobs(0.5))
    higher, unclear, where = trained(found)
    assert where == "topk: the difference in digit concepts recovered is not significant at L0 4, 8 and 16."
    assert higher == "topk: higher than in every control (q < 0.05): explained variance (+50 points)."
    assert "not clearly different from every control: digit concepts recovered (+1)" in unclear
    table = trained_table(found)
    assert table.head == ["trained minus untrained", "trained", "control/xavier", "control/kaiming"]
    cell = next(line for line in table.lines if line[0].text == "Explained variance")[2]
    assert cell.strong
    assert cell.text.startswith("+50.15 ± 0.2")


def test_a_difference_that_turns_with_sparsity_is_neither_higher_nor_lower(tmp_path):
    jobs = [
        made | {"ev": made["ev"] - (made["l0"] == 16) * (made["keys"]["model"] == "topk")} for made in control_jobs(0.5)
    ]
    said = trained(study(tmp_path, jobs))
    assert "topk: higher or lower depending on L0 (both q < 0.05): explained variance" in said[0]
    assert "(+50 points at L0 4 and -50 points at L0 16)" in said[0]


def test_which_family_goes_first(tmp_path):
    kept = {2: ("0", ""), 8: ("0123", ""), 32: ("01234", "ab"), 128: ("01234", "abcd")}
    jobs = [
        job({"l0": k, "seed": s}, k * (1 + 0.02 * s), {"digit": d, "tag": t})
        for k, (d, t) in kept.items()
        for s in range(6)
    ]
    found = study(tmp_path, jobs, BOTH)
    said = families(found)
    assert said[0].startswith("By concepts recovered, tag is lost before digit: here (ratio of L0s at half 0.1")
    assert halves_table(found).lines[2][2].text == "digit / tag"
    found = study(tmp_path / "few", [made for made in jobs if made["keys"]["seed"] < 2], BOTH)
    assert "it is not clear whether digit or tag is lost first" in families(found)[0]


def test_the_base_network_s_accuracy_is_told_beside_families(tmp_path):
    jobs = [job({"l0": k, "seed": s}, k, {"digit": "01", "tag": "ab"}) for k in (2, 8, 32) for s in range(2)]
    table = sweep(tmp_path, jobs, BOTH)
    for row in read_rows(table):
        base = {"test/acc_digit": 0.88, "test/acc_tag": 1.0, "test/acc": 0.85}
        (Path(row["run"]) / "run.json").write_text(json.dumps({"base": base}))
    found = tables(studies(table))
    assert {row["base_acc"] for row in found["families"] if row["family"] == "digit"} == {"0.88"}
    assert families(found)[0] == "The base network's own accuracy is 88.0\xa0% for digit and 100.0\xa0% for tag."


def test_variants_beside_batchtopk(tmp_path):
    jobs = [
        job({"model": model, "l0": k, "seed": s}, k, {"digit": "01"}, ev=ev + more * (1 + 0.01 * s))
        for model, more in (("batchtopk", 0), ("omp", 0.05))
        for k, ev in ((4, 0.5), (8, 0.6), (16, 0.7))
        for s in range(4)
    ]
    found = study(tmp_path, jobs)
    said = matched_variants(found)
    assert said[0] == "Explained variance at equal L0, beside BatchTopK's, above: omp (+5.1 points)."
    assert said[-1].replace("\N{NO-BREAK SPACE}", " ") == "3 of 4 differences are not significant (q ≥ 0.05)."
    assert matched_table(found).lines[0][0].text == "omp"


def test_agreement_beside_chance():
    row = {"kind": "seed", "mean_cos": "0.8", "chance": "0.3", "matched_0.9": "0.25"}
    (said,) = agreements({"agreement": [row, row | {"mean_cos": "0.6"}]})
    assert said.startswith(
        "Two seeds of one setting have matched decoder rows with a mean cosine of 0.70 (0.60 to 0.80, "
    )
    assert "random directions 0.30" in said


def test_sections_of_the_page(tmp_path):
    table = sweep(tmp_path, by_k({4: "0", 8: "01", 16: "01234", 32: "01234"}))
    studies(table)
    page = read(compare([], tmp_path / "report.html", table=table))
    for heading in ("Concepts and sparsity", "At which sparsity each concept vanishes", "discarded together"):
        assert heading in page.text
    assert "Trained beside untrained" not in page.text
    assert len(page.images) == 4
    assert "sweep.csv , sweep/sparsity.csv" in page.text.replace("sweep.csv,", "sweep.csv ,")


def test_a_page_without_studies_is_as_before(tmp_path):
    table = sweep(tmp_path, by_k({4: "0", 8: "01"}))
    page = read(compare([], tmp_path / "report.html", table=table))
    assert len(page.images) == 1


def test_where_nothing_is_recovered(tmp_path):
    jobs = [
        job({"model": "topk", "l0": k, "seed": s}, k, {"digit": "01" if k > 8 else ""})
        for k in (4, 8, 16)
        for s in (0, 1)
    ]
    found = study(tmp_path, jobs, BOTH)
    assert "No run recovers any tag concept." in sparsities(found)
    assert vanished(found)[1] == "No run recovers any tag concept: none can vanish."
    assert families(found)[0].endswith(
        "to tell which family goes first: at most 0.0\N{NO-BREAK SPACE}% of tag concepts."
    )
    found = study(tmp_path / "none", [made | {"recovered": {}} for made in jobs], BOTH)
    assert codiscards(found)[0].startswith("Of no two concepts are both recovered by some runs and discarded by others")
