"""A sweep over models of toys whose parts are known: the study, its figure and its section of the page."""

import csv

import matplotlib as mpl
import pytest

from saelab.commands.studies import studies
from saelab.plots.parted import in_order, parted
from saelab.plots.read import read_rows
from saelab.plots.style import BLUE
from saelab.report import compare

SEEDS = (0, 1, 2)
HALF = 4.302653 / 3**0.5  # t of two degrees of freedom, of seeds that are one step from each other
RIVALS = ["true directions, lasso", "lines learned with the truth", "random directions"]


def row(job, shape, model, seed):
    at = {"job": f"{job:03d}", "data.dense": shape, "model": model, "seed": seed, "status": "finished", "wall_s": 1.0}
    two, less = model == "densae", 0.5 if shape == "torus" else 0.0
    metrics = {"test/ev": 0.9, "test/l0": 4.0, "truth/mcc": 0.8, "truth/matched_ap": 0.7}
    metrics |= {"truth/dense_r2": (0.9 - less + seed / 100) * two, "truth/z_in_sparse": -0.02 if two else 0.95}
    metrics |= {"truth/s_in_sparse": {"densae": 0.99, "topk": 0.5, "relu": 0.8}[model]}
    metrics |= {"truth/lasso_s_in_sparse": 1.0, "truth/lasso_matched_ap": 1.0, "truth/linear_dense_r2": 0.98}
    metrics |= {"truth/linear_s_in_sparse": 0.6, "truth/chance_s_in_sparse": 0.1 * job / 100}
    metrics |= {"truth/chance_matched_ap": 0.06 if model == "topk" else 0.04}
    return at | metrics | {"run": f"nowhere/{job}"}


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path):
    settings = [(shape, m, s) for shape in ("sphere", "torus") for m in ("topk", "relu", "densae") for s in SEEDS]
    return write(tmp_path / "sweep.csv", [row(i, *setting) for i, setting in enumerate(settings)])


def test_means_and_intervals_over_seeds(table):
    rows = read_rows(studies(table) / "parted.csv")
    cells = {(r["group"], r["model"], r["measure"]): r for r in rows}
    z = cells["dense torus", "densae", "z_dense"]
    found = [float(z[name]) for name in ("mean", "low", "high", "n")]
    assert found == pytest.approx([0.41, 0.41 - HALF / 100, 0.41 + HALF / 100, 3], abs=1e-6)
    assert float(cells["dense sphere", "relu", "s_sparse"]["mean"]) == pytest.approx(0.8)
    assert ("dense sphere", "relu", "z_dense") not in cells  # one stream
    best = cells["dense sphere", "random directions", "ap"]  # the better of those beside each model
    assert float(best["mean"]) == pytest.approx(0.06)
    assert [r["model"] for r in rows[-6:]] == [RIVALS[0], RIVALS[0], RIVALS[1], RIVALS[1], RIVALS[2], RIVALS[2]]


def test_nothing_without_a_dense_truth(table):
    rows = [{k: v for k, v in r.items() if k != "truth/z_in_sparse"} for r in read_rows(table)]
    assert not (studies(write(table, rows)) / "parted.csv").exists()


def test_a_panel_for_every_kind_of_data_and_a_row_for_every_model(table):
    figure = parted(studies(table))
    first, second = figure.axes
    assert [first.get_title("left"), second.get_title("left")] == ["dense sphere", "dense torus"]
    assert [t.get_text() for t in first.get_yticklabels()] == ["topk", "relu", "densae", *RIVALS]
    z = [line for line in second.lines if line.get_color() == BLUE]
    (dot, truth), bars = ([line for line in z if (len(line.get_xdata()) == 1) == one] for one in (True, False))
    assert bars[0].get_xdata() == pytest.approx([0.41 - HALF / 100, 0.41 + HALF / 100], abs=1e-6)
    assert (dot.get_xdata()[0], round(dot.get_ydata()[0])) == (pytest.approx(0.41), 2)
    assert (truth.get_xdata()[0], round(truth.get_ydata()[0])) == (pytest.approx(0.98), 4)
    told = {text.get_text() for text in figure.findobj(mpl.text.Text)}
    assert "z from the dense code, R²" in told and "means over seeds with 95 % intervals (t)" in " ".join(told)


def test_models_that_one_group_lacks_stay_above_their_rivals():
    rows = [{"model": m} for m in ("topk", "densae", "topk", "relu", "densae", "lasso", "lasso")]
    assert in_order(rows) == ["topk", "relu", "densae", "lasso"]


def test_the_page(table):
    studies(table)
    text = compare([], table.with_name("report.html"), table=table).read_text()
    assert "Which part is in which code?" in text
    assert "dense torus: densae has 0.410 ± 0.025 of z in its dense code and -0.020 ± 0.000 in its sparse one" in text
    assert "of one stream relu has most of s, 0.800 ± 0.000, and 0.950 ± 0.000 of z in the same codes" in text
    assert (table.with_suffix("") / "parted.png").exists()
