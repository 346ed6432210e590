"""Concepts over training, as they are drawn: where each comes and goes, also where a file is odd."""

import matplotlib as mpl
import numpy as np
import pytest
from test_figures import texts, titles, write

from saelab.plots import draw
from saelab.plots.dynamics import emergence, history, retention, stretches, told
from saelab.plots.read import read_rows
from saelab.plots.style import BLUE, GREEN, MUTED, ORANGE

STEPS = (0, 1, 10, 100, 1000)
# By step: 1 from the start; 2 in the middle; 3 with a gap; 4 never.
RECOVERED = {"1": (1, 1, 1, 1, 1), "2": (0, 1, 1, 0, 0), "3": (0, 1, 0, 1, 1), "4": (0, 0, 0, 0, 0)}


def write_dynamics(run, table=RECOVERED, family="digit"):
    rows = [
        {"step": s, "epoch": 0, "family": family, "concept": name, "best_auc": 0.7 + 0.29 * on[i], "detected": 1}
        | {"recovered": on[i]}
        for i, s in enumerate(STEPS)
        for name, on in table.items()
    ]
    whole = [
        {"step": s, "epoch": 0, "l0": 20, "ev": 0.9, "dead": 0.1, f"detected_{family}": len(table)}
        | {f"recovered_{family}": sum(on[i] for on in table.values())}
        for i, s in enumerate(STEPS)
    ]
    write(run / "figures/concept_dynamics.csv", rows)
    write(run / "figures/concept_dynamics_summary.csv", whole)
    return rows


def test_history_says_when_each_came_and_went(tmp_path):
    rows = write_dynamics(tmp_path)
    h = history(read_rows(tmp_path / "figures/concept_dynamics.csv"))
    assert [h.concepts[c][1] for c in h.order()] == ["1", "3", "2", "4"]
    assert [told(h, c) for c in range(4)] == ["from 0", "from 1 to 10", "from 1, 1 gap", "never"]
    assert [h.lost(c) for c in range(4)] == [0, 1, 1, 0]
    backwards = history([{k: str(v) for k, v in row.items()} for row in reversed(rows)])
    assert backwards.steps.tolist() == list(STEPS)
    at = backwards.concepts.index(("digit", "2"))
    assert backwards.when(at).tolist() == [1, 10]
    assert stretches(np.array([True, False, True, True])) == [(0, 0), (2, 3)]
    assert stretches(np.zeros(3, bool)) == []


def marks(ax, color):
    """Where markers of a colour are, on lines without a line."""
    return [
        x for line in ax.lines if line.get_linestyle() == "None" and line.get_color() == color for x in line.get_xdata()
    ]


def test_retention_marks_the_first_and_the_last(tmp_path):
    write_dynamics(tmp_path)
    figure = retention(tmp_path)
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left")}
    assert list(panels) == ["1", "2", "3", "4"]
    assert [marks(ax, BLUE) for ax in panels.values()] == [[*STEPS], [1, 10], [1, 100, 1000], []]
    assert [marks(ax, GREEN) for ax in panels.values()] == [[0], [1], [1], []]
    assert [marks(ax, ORANGE) for ax in panels.values()] == [[], [10], [], []]
    assert panels["4"].lines[0].get_color() == MUTED
    assert panels["2"].lines[0].get_ydata().tolist() == pytest.approx([0.7, 0.99, 0.99, 0.7, 0.7])


def test_emergence_is_in_the_order_in_which_concepts_come(tmp_path):
    write_dynamics(tmp_path)
    top, ax = emergence(tmp_path).axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["1", "3", "2", "4"]
    dark = [(line.get_xdata().tolist(), line.get_ydata()[0]) for line in ax.lines if line.get_color() == BLUE]
    assert dark == [([0, 1000], 0), ([1, 1], 1), ([100, 1000], 1), ([1, 10], 2)]
    assert {"from 1, 1 gap", "never"} <= set(texts(ax.figure))
    assert {"recovered 2", "detected 4"} <= set(texts(ax.figure))
    (line,) = [line for line in top.lines if line.get_color() == BLUE]
    assert line.get_ydata().tolist() == [1, 3, 2, 2, 2]


def test_many_families_and_more_concepts_than_fit(tmp_path):
    names = {str(i): (0, 0, 0, i % 2, i % 2) for i in range(50)}
    rows = write_dynamics(tmp_path, names) + write_dynamics(tmp_path, {"dot": (0, 0, 1, 1, 1)}, "tag")
    write(tmp_path / "figures/concept_dynamics.csv", rows)
    figure = retention(tmp_path)
    assert len([title for title in titles(figure) if title]) == 40
    assert titles(figure)[0] == "tag dot"
    assert any("11 concepts that came later are left out" in text for text in texts(figure))
    assert any("11 that came later" in text for text in texts(emergence(tmp_path)))


def test_concepts_without_a_living_latent_and_a_single_look(tmp_path):
    rows = [{"step": 0, "family": "f", "concept": c, "best_auc": "", "recovered": 0, "detected": 0} for c in "ab"]
    write(tmp_path / "figures/concept_dynamics.csv", rows)
    write(tmp_path / "figures/concept_dynamics_summary.csv", [{"step": 0, "recovered_f": 0, "detected_f": 0}])
    before = dict(mpl.rcParams)
    assert list(draw(tmp_path)) == ["emergence", "retention"]
    assert dict(mpl.rcParams) == before
