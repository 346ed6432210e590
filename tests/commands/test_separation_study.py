"""A sweep over models whose parts are known: the study, its figure and its section of the page."""

import csv

import matplotlib as mpl
import pytest

from saelab.commands.studies import studies
from saelab.commands.studies.separation import measure, unit
from saelab.plots.read import read_rows
from saelab.plots.separated import separated
from saelab.report import compare

SEEDS = (0, 1, 2)


def row(job, data, model, seed, digit, tag, **more):
    at = {"job": f"{job:03d}", "data": data, "model": model, "seed": seed, "status": "finished", "wall_s": 1.0}
    metrics = {"test/ev": 0.8 + seed / 100, "test/l0": 2.0, "separation/swapped": 0.0}
    for split, less in (("test", 0), ("test_unseen", 3)):
        metrics |= {f"separation/{split}/digit/sdr": digit + seed - less, f"separation/{split}/tag/sdr": tag - less}
        metrics |= {f"separation/{split}/{c}/pca_sdr": -1.0 for c in ("digit", "tag")}
        metrics |= {f"separation/{split}/{c}/linear_sdr": 30.0 for c in ("digit", "tag")}
        metrics |= {f"separation/{split}/digit/{code}_acc": acc for code, acc in (("dense", 0.9), ("sparse", 0.2))}
        metrics |= {f"separation/{split}/digit/raw_acc": 0.95, f"separation/{split}/digit/dense_linear_r2": 0.5}
    return at | metrics | more | {"run": f"nowhere/{job}"}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "sweep.csv"
    settings = [(d, m, s) for d in ("pixels_lowbit", "pixels_noise") for m in ("topk", "densae") for s in SEEDS]
    rows = [
        row(i, d, m, s, 6.0 if m == "topk" else 2.0, 0.0 if m == "topk" else 9.0)
        for i, (d, m, s) in enumerate(settings)
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_means_and_intervals_over_seeds(table):
    rows = read_rows(studies(table) / "separation.csv")

    def find(model, kind, what, split="test", group="pixels_noise"):
        at = (group, model, kind, what, split)
        (found,) = [r for r in rows if tuple(r[k] for k in ("group", "model", "kind", "what", "split")) == at]
        return found

    digit = find("topk", "sdr", "digit")
    half = 4.302653 / 3**0.5  # t of two degrees of freedom, of seeds that are 6, 7 and 8
    assert [float(digit[k]) for k in ("mean", "low", "high", "n")] == pytest.approx(
        [7, 7 - half, 7 + half, 3], abs=1e-4
    )
    assert float(find("topk", "sdr", "digit", "test_unseen")["mean"]) == 4
    assert float(find("principal axes", "sdr", "tag")["mean"]) == -1
    assert find("lines learned with the truth", "sdr", "tag")["low"] == ""
    assert float(find("densae", "dense", "digit")["mean"]) == pytest.approx(0.9)
    assert float(find("densae", "ev", "")["mean"]) == pytest.approx(0.81)
    assert {r["kind"] for r in rows} == {"ev", "sdr", "dense", "sparse", "raw"}


def test_the_page(table):
    studies(table)
    text = compare([], table.with_name("report.html"), table=table).read_text()
    assert "Which part is in which stream?" in text
    assert "pixels_noise: with tags that were seen densae tells the parts apart best, 3.0 (0.5 to 5.5)" in text
    assert "90.0 ± 0.0" in text and "lines learned with the truth" in text
    assert (table.with_suffix("") / "separation.png").exists()


def test_metrics_that_are_compared():
    assert measure("separation/test/digit/sdr") == ("separation/test/digit/sdr", "sdr", "digit", "test")
    assert measure("separation/test_unseen/tag/raw_acc") == (
        "separation/test_unseen/tag/raw_acc",
        "raw",
        "tag",
        "test_unseen",
    )
    loop = "separation/test/loop/dense_factor_r2"
    assert measure(loop) == (loop, "dense", "loop", "test")
    assert [unit(name) for name in (loop, "separation/test/tag/raw_acc", "test/ev")] == ["factor_r2", "acc", ""]
    for other in (
        "separation/test/loop/dense_r2",
        "separation/clipped",
        "separation/test/score",
        "separation/test/tag/pca_sdr",
        "separation/val/tag/sdr",
    ):
        assert measure(other) is None


def test_a_component_with_factors_is_read_in_r2(table):
    rows = read_rows(table)
    for cells in rows:
        cells |= {f"separation/test/loop/{code}_factor_r2": r2 for code, r2 in (("dense", -0.2), ("raw", 0.6))}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    folder = studies(table)
    digit, loop = (ax for ax in separated(folder).axes if ax.get_title("left").endswith(" read"))
    assert (digit.get_xlabel(), loop.get_xlabel()) == ("% right", "R²")
    assert digit.get_xlim()[0] > -0.2 >= loop.get_xlim()[0]
    text = compare([], table.with_name("report.html"), table=table).read_text()
    assert "digit from dense, %" in text and "loop from dense, R², %" in text and "-20.0 ± 0.0" in text


def test_what_has_no_unseen_rows_has_no_names_for_them(table):
    rows = [{k: v for k, v in cells.items() if "test_unseen" not in k} for cells in read_rows(table)]

    def names(folder):
        return {text.get_text() for text in separated(folder).findobj(mpl.text.Text)}

    assert {"tags seen", "never seen", "dense code"} <= names(studies(table))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert names(studies(table)) & {"tags seen", "never seen", "dense code"} == {"dense code"}
