"""Figures of a comparison with the truth, of one run and of many."""

import matplotlib as mpl
import numpy as np
import pytest

from saelab.analysis.save import write_csv
from saelab.plots import draw, draw_sweep
from saelab.plots.sweep import sweep
from saelab.plots.truth import truth
from saelab.plots.variants import PANELS, STREAMS


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def latents(**more):
    g = np.random.default_rng(0)
    rows = []
    for i in range(30):
        matched = {"matched": i, "matched_cos": g.uniform(0.5, 1)} if i < 20 else {"matched": -1}
        row = {"latent": i, "alive": int(i > 2), "feature": i % 20, "cos": g.uniform(-1, 1), **matched}
        rows.append(row | {"chance_cos": 0.3} | {name: value(g) for name, value in more.items()})
    return rows


def rates(spread):
    return {"feature_rate": lambda g: 0.01 * spread ** g.uniform(), "f1": lambda g: g.uniform()}


@pytest.mark.parametrize("spread", [1.5, 30])
def test_truth_of_a_run(tmp_path, spread):
    write_csv(tmp_path / "figures/truth.csv", latents(**rates(spread)))
    figure = truth(tmp_path)
    left, right = figure.axes
    assert [len(line.get_xdata()) for line in left.lines[:2]] == [30, 20]  # chance and latents; pairs only
    assert (np.diff(left.lines[1].get_ydata()) <= 0).all()
    assert right.get_xscale() == ("log" if spread > 3 else "linear")
    assert sum(len(dots.get_offsets()) for dots in right.collections) == 27  # the dead have no dot
    assert {"latents", "random\ndirections", "\N{BLACK CIRCLE} less"} <= set(texts(figure))
    assert draw(tmp_path)["truth"].exists()


def test_truth_without_codes_is_one_panel(tmp_path):
    write_csv(tmp_path / "figures/truth.csv", latents())
    assert len(truth(tmp_path).axes) == 1


def test_truth_of_dead_latents_alone(tmp_path):
    rows = [row | {"alive": 0} for row in latents(**rates(30))]
    write_csv(tmp_path / "figures/truth.csv", rows)
    assert sum(len(dots.get_offsets()) for dots in truth(tmp_path).axes[1].collections) == 0


def runs(keys, **more):
    rows = []
    for i, key in enumerate(keys):
        for seed in range(3):
            values = {"test/l0": 8 + 3 * i, "test/ev": 0.7 + 0.05 * i + 0.01 * seed, "truth/mcc": 0.8 + 0.01 * seed}
            values |= {"truth/f1": 0.6, "truth/uniqueness": 0.9, "truth/chance_mcc": 0.28, "truth/oracle_ev": 0.95}
            values |= {"truth/l0": 9.5} | more
            rows.append({"job": len(rows), **key, "seed": seed, "status": "finished", **values})
    return rows


def test_variants_have_a_row_each_and_a_panel_per_metric(tmp_path):
    table = write_csv(tmp_path / "sweep.csv", runs([{"model": name} for name in ("topk", "relu", "gated")]))
    figure = sweep(table)
    assert len(figure.axes) == len(PANELS)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["topk", "relu", "gated"]
    assert {"chance", "oracle", "true"} <= {text.strip() for text in texts(figure)}
    assert any("over seeds" in text for text in texts(figure))
    for ax in figure.axes:
        assert sum(len(dots.get_offsets()) for dots in ax.collections if hasattr(dots, "get_sizes")) >= 9
    assert draw_sweep(table).exists()


def test_variants_of_a_dense_and_a_sparse_truth_show_the_streams(tmp_path):
    more = {"truth/dense_r2": 0.9, "truth/z_in_sparse": 0.1, "truth/s_in_sparse": 0.8}
    figure = sweep(write_csv(tmp_path / "sweep.csv", runs([{"model": "topk"}, {"model": "densae"}], **more)))
    titles = [ax.get_title(loc="left").replace("\n", " ") for ax in figure.axes]
    assert titles[-3:] == [
        "R² of s from the sparse code",
        "R² of z from the dense code",
        "R² of z from the sparse code",
    ]
    assert len(titles) == len(STREAMS)


def test_variants_are_named_by_what_tells_them_apart(tmp_path):
    """Of run directories: the class, without its path and without the settings that come with it."""
    keys = [
        {"model.sae._target_": f"saelab.sae.{name}", "model.sae.l1": l1} for name, l1 in (("TopK", ""), ("ReLU", 2))
    ]
    figure = sweep(write_csv(tmp_path / "sweep.csv", runs(keys)))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["TopK", "ReLU"]


def test_variants_without_seeds_or_with_holes(tmp_path):
    rows = [row for row in runs([{"model": "topk"}, {"model": "relu"}]) if row["seed"] == 0]
    del rows[1]["truth/f1"], rows[1]["truth/chance_mcc"]
    rows[0]["truth/oracle_ev"] = 0.5  # another truth: no common line
    figure = sweep(write_csv(tmp_path / "sweep.csv", rows))
    assert "oracle" not in {text.strip() for text in texts(figure)}
    assert not any("over" in text for text in texts(figure))


def test_a_numeric_sweep_of_the_truth_keeps_its_lines(tmp_path):
    figure = sweep(write_csv(tmp_path / "sweep.csv", runs([{"k": k} for k in (4, 8, 16)])))
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "Explained variance",
        "Matched cosine (MCC)",
    ]
