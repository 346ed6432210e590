"""Figures of studies over many runs draw what their tables say."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from concept_runs import BOTH, by_k, job, sweep
from saelab.analysis.save import write_csv
from saelab.commands.studies import studies
from saelab.plots.agreement import agreement, pick
from saelab.plots.codiscard import codiscard
from saelab.plots.controls import controls
from saelab.plots.dots import dots
from saelab.plots.families import families, pairs
from saelab.plots.sparsity import has_key, over_key, over_l0
from saelab.plots.studies import draw_studies
from saelab.plots.survival import in_order, survival


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def titles(figure):
    return [ax.get_title(loc="left").replace("\n", " ") for ax in figure.axes]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    jobs = by_k({4: "0", 8: "01", 16: "01234", 32: "0123"}, **{"model.sae.d_sae": 256})
    jobs += by_k({4: "", 8: "0", 16: "012", 32: "01234"}, **{"model.sae.d_sae": 512})
    return studies(sweep(folder, jobs))


def test_sparsity_has_a_panel_per_measure_and_a_line_per_treatment(line):
    figure = over_l0(line)
    assert titles(figure)[:4] == [
        "Digit concepts recovered",
        "Digit concepts detected",
        "Explained variance",
        "Dead latents",
    ]
    (curve, other) = figure.axes[0].lines
    assert curve.get_ydata().tolist() == [1, 2, 5, 4]
    assert other.get_ydata().tolist() == [0, 1, 3, 5]
    assert figure.axes[0].get_ylim()[1] == pytest.approx(5.3)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["d_sae 256", "d_sae 512"]
    assert "points: means over 3 seeds; bands: 95 % intervals (t)" in texts(figure)


def test_a_key_that_is_l0_has_no_figure_of_its_own(line, tmp_path):
    assert not has_key(line)
    jobs = [job({"model.sae.l1": l1, "seed": s}, 10 / l1, {"digit": "0"}) for l1 in (0.1, 1, 10) for s in (0, 1)]
    folder = studies(sweep(tmp_path, jobs))
    assert has_key(folder)
    assert over_key(folder).axes[3].get_xlabel() == "l1"


def test_collapsed_settings_are_told(tmp_path):
    jobs = [job({"model.sae.l1": l1, "seed": 0}, l0, {}) for l1, l0 in ((0.1, 30), (1, 9), (9, 3), (90, 0))]
    figure = over_l0(studies(sweep(tmp_path, jobs)))
    assert "left out: 1 settings without active latents" in texts(figure)


def test_survival_has_the_longest_lived_on_top(line):
    figure = survival(line)
    first, second = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["0", "1", "2", "3", "4"]
    assert [t.get_text() for t in first.get_xticklabels()] == ["4.04", "8.08", "16.2", "32.3"]
    shares = first.collections[0].get_array().reshape(5, 4)
    assert shares[:, 0].tolist() == [1, 0, 0, 0, 0]
    assert shares[:, 3].tolist() == [1, 1, 1, 1, 0]
    assert second.get_title(loc="left") == "d_sae 512"


def test_families_are_ordered_apart():
    rows = [
        {"family": f, "concept": c, "recovered": v}
        for f, c, v in (("tag", "a", "1"), ("digit", "0", "0"), ("digit", "1", "1"), ("tag", "b", "0"))
    ]
    assert in_order(rows) == [("tag", "a"), ("tag", "b"), ("digit", "1"), ("digit", "0")]


def test_codiscard_stars_what_chance_does_not_explain(tmp_path):
    pair = {"a_family": "digit", "b_family": "digit", "runs": 9}
    rows = [
        pair | {"a": "0", "b": "1", "a_place": 0, "b_place": 1, "phi": 0.93, "jaccard": 0.8, "q": 0.01},
        pair | {"a": "0", "b": "2", "a_place": 0, "b_place": 2, "phi": -0.2, "jaccard": 0.1, "q": 0.6},
        pair | {"a": "1", "b": "2", "a_place": 1, "b_place": 2, "phi": "", "jaccard": 0.2, "q": 0.6},
    ]
    write_csv(tmp_path / "codiscard.csv", rows)
    figure = codiscard(tmp_path)
    assert texts(figure).count(".9*") == 2
    assert "-.2" in texts(figure)
    table = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    assert table[0, 1] == table[1, 0] == 0.93
    assert np.isnan(table[1, 2])


def test_controls_draw_differences_over_l0(tmp_path):
    jobs = [
        job({"model": model, "l0": k, "seed": s}, k, {"digit": "01" if model == "topk" else "0"})
        for model in ("topk", "control/xavier", "control/kaiming")
        for k in (4, 16)
        for s in range(3)
    ]
    figure = controls(studies(sweep(tmp_path, jobs)))
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1, 1]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["control/xavier", "control/kaiming"]


def test_families_have_a_row_per_variant(tmp_path):
    jobs = [
        job({"model": model, "l0": k, "seed": s}, k, {"digit": "01234"[:k], "tag": "abcd"[: k // 8]})
        for model in ("topk", "omp")
        for k in (2, 4, 32)
        for s in range(2)
    ]
    figure = families(studies(sweep(tmp_path, jobs, BOTH)))
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["topk", "omp"]
    assert titles(figure)[:2] == ["Share of concepts recovered", "Share of concepts detected"]
    assert figure.axes[-1].get_xlabel() == "active latents per row (L0)"
    digit, tag = figure.axes[0].lines
    assert digit.get_ydata().tolist() == [0.4, 0.8, 1]
    assert tag.get_ydata().tolist() == [0, 0, 1]


def test_families_of_variants_and_data_have_a_panel_per_pair(tmp_path):
    jobs = [
        job({"data": f"combined_{data}", "model": model, "l0": k, "seed": s}, k, {"digit": "01234"[:k], "tag": "abcd"})
        for data in ("lowbit", "lowfreq")
        for model in ("topk", "omp", "relu")
        for k in (2, 4, 32)
        for s in range(2)
    ]
    folder = studies(sweep(tmp_path, jobs, BOTH))
    figure = families(folder)
    assert titles(figure) == ["combined_lowbit", "combined_lowfreq", "", "", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["topk", "", "omp", "", "relu", ""]
    drawn = [(line.get_linestyle(), line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert drawn == [("--", 0.4), ("--", 1), ("-", 0.4), ("-", 1)]
    assert "share of concepts recovered (solid) and detected (dashed)" in " ".join(texts(figure))


def test_a_pair_without_runs_has_an_empty_panel(tmp_path):
    cell = {"measure": "recovered", "family": "digit", "mean": 0.5, "n": 1, "low": "", "high": ""}
    lines = ("topk, lowbit", "omp, lowbit", "topk, lowfreq")
    write_csv(tmp_path / "families.csv", [cell | {"line": line, "l0": l0} for line in lines for l0 in (4, 8)])
    axes = families(tmp_path).axes
    assert [ax.axison for ax in axes] == [True, True, True, False]
    assert [len(ax.lines) for ax in axes] == [2, 2, 2, 2]


def test_lines_that_are_not_pairs_have_a_row_each():
    assert pairs(["a, x", "a, y", "b, x", "b, y"]) == (["a", "b"], ["x", "y"])
    assert pairs(["a, x", "a, y", "b, x"]) == (["a", "b"], ["x", "y"])
    assert pairs(["a, x", "b, y", "c, z"]) == ([], [])
    assert pairs(["a, x", "a, y"]) == ([], [])
    assert pairs(["a", "b"]) == ([], [])


def test_dots_are_filled_where_significant():
    row = {"measure": "test/ev", "low": "0.01", "high": "0.03", "mean": "0.02"}
    rows = [row | {"name": "a", "q": "0.01"}, row | {"name": "b", "q": "0.2"}]
    figure = dots(rows, ["a", "b"], ["test/ev"], columns=1)
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert points[0].get_markerfacecolor() != "white"
    assert points[1].get_markerfacecolor() == "white"
    assert points[0].get_xdata() == pytest.approx([2])  # in points


def test_agreement_is_a_matrix_of_variants_or_a_course_of_seeds(tmp_path):
    pair = {"a_l0": 8, "b_l0": 8.2, "mean_cos": 0.5, "chance": 0.2}
    rows = [pair | {"kind": "seed", "a": "topk", "b": "topk", "mean_cos": 0.9}]
    rows.append(pair | {"kind": "model", "a": "topk", "b": "omp"})
    write_csv(tmp_path / "agreement.csv", rows)
    figure = agreement(tmp_path)
    assert titles(figure)[0] == "L0 about 8, chance 0.20"
    assert {".90", ".50"} <= set(texts(figure))
    write_csv(tmp_path / "agreement.csv", [rows[0], rows[0] | {"a_l0": 32, "b_l0": 32, "mean_cos": 0.7}])
    curve, chance = agreement(tmp_path).axes[0].lines
    assert curve.get_ydata().tolist() == [0.9, 0.7]
    assert chance.get_ydata().tolist() == [0.2, 0.2]


def test_levels_of_l0():
    assert pick([8, 8.1, 31, 32, 33, 0]) == pytest.approx([8.05, 32])


def test_every_study_with_data_is_drawn(line):
    drawn = draw_studies(line)
    assert set(drawn) == {"sparsity", "survival", "codiscard"}
    assert all(path == line / f"{name}.png" and path.stat().st_size > 10_000 for name, path in drawn.items())


def test_nothing_is_drawn_of_nothing():
    assert draw_studies(Path("nowhere")) == {}
