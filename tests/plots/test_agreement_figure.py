"""The figure of agreement can be read for few variants and for many."""

import warnings
from itertools import combinations, combinations_with_replacement

import matplotlib as mpl
import numpy as np
import pytest

from saelab.analysis.save import write_csv
from saelab.plots.agreement import agreement, near
from saelab.plots.studies import draw_studies


def pairs_of(names, l0, cos):
    """Rows of `agreement.csv`: for every two names a pair of variants, for every name one of seeds."""
    kinds = {True: "seed", False: "model"}
    return [
        {"kind": kinds[a == b], "a": a, "b": b, "a_l0": l0[a], "b_l0": l0[b], "mean_cos": cos(a, b), "chance": 0.2}
        for a, b in combinations_with_replacement(names, 2)
    ]


@pytest.mark.parametrize("n", [2, 8, 20])
def test_no_text_lies_on_another(n, tmp_path):
    """Nor beyond the figure; no axes collapse, and only variants with a pair at a panel's L0 have a row."""
    names = [f"matryoshka_variant_{i:02d}" for i in range(n)]
    levels = [dict.fromkeys(names, level) | {"alone": 500} for level in (8, 16, 32)]
    rows = [row for level in levels for row in pairs_of(list(level), level, lambda a, b: 0.55)]
    write_csv(tmp_path / "agreement.csv", rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = agreement(tmp_path)
        figure.canvas.draw()
    written = [text for text in figure.findobj(mpl.text.Text) if text.get_text() and text.axes is not None]
    written = [text for text in written if text.axes.axison or text in text.axes.texts or "L0" in text.get_text()]
    assert {text.get_text() for text in written} == {
        ".55",
        *names,
        *(f"L0 about {v}, chance 0.20" for v in (8, 16, 32)),
    }
    assert [text.get_text() for text in written].count(".55") == 3 * n * (n + 1) / 2
    boxes = [text.get_window_extent() for text in written]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert figure.get_supxlabel().endswith("at other L0: alone")


def test_variants_with_like_dictionaries_are_neighbours(tmp_path):
    groups = {"a": 0, "b": 1, "c": 0, "d": 1, "e": 0}
    rows = pairs_of(list(groups), dict.fromkeys(groups, 8), lambda a, b: 0.9 if groups[a] == groups[b] else 0.4)
    write_csv(tmp_path / "agreement.csv", rows)
    (ax,) = agreement(tmp_path).axes
    names = [text.get_text() for text in ax.texts if text.get_text() in groups]
    assert {*names[:2]} == {"b", "d"} or {*names[3:]} == {"b", "d"}
    (image,) = ax.images
    for i, j in np.ndindex(5, 5):
        expected = (0.9 if groups[names[i]] == groups[names[j]] else 0.4) if j <= i else np.nan
        assert np.ma.filled(image.get_array(), np.nan)[i, j] == pytest.approx(expected, nan_ok=True)


def test_a_panel_has_all_pairs_of_what_is_near_its_level(tmp_path):
    """Also of two that differ by more than a quarter, one less and one more sparse."""
    l0 = {"a": 13, "b": 16, "c": 16, "d": 16, "e": 19}
    write_csv(tmp_path / "agreement.csv", pairs_of(list(l0), l0, lambda a, b: 0.5))
    (ax,) = agreement(tmp_path).axes
    assert [text.get_text() for text in ax.texts].count(".50") == 15


def test_seeds_alone_are_drawn_over_l0(tmp_path):
    rows = [row for l0 in (8, 30) for row in pairs_of(["a", "b"], {"a": l0, "b": 9 * l0}, lambda a, b: 0.5)]
    write_csv(tmp_path / "agreement.csv", rows)
    assert len(agreement(tmp_path).axes[0].lines) == 4


def test_nothing_is_drawn_without_living_latents_or_equal_l0(tmp_path):
    dead = pairs_of(["a", "b"], {"a": 0, "b": 0}, lambda a, b: "")
    apart = [row for row in pairs_of(["a", "b"], {"a": 8, "b": 30}, lambda a, b: 0.5) if row["kind"] == "model"]
    for rows in (dead, apart):
        write_csv(tmp_path / "agreement.csv", rows)
        assert draw_studies(tmp_path) == {}


def test_equal_l0():
    assert near(8, 10)
    assert near(10, 8)
    assert not near(8, 10.1)
    assert not near(0, 8)
