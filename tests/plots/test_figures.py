"""Every figure draws what its file says, also where the file is odd."""

import csv

import matplotlib as mpl
import numpy as np
import pytest

from saelab.plots import draw, draw_sweep
from saelab.plots.concepts import concepts
from saelab.plots.confusion import confusion
from saelab.plots.curves import curves
from saelab.plots.density import density, frequency
from saelab.plots.examples import examples
from saelab.plots.latents import latents
from saelab.plots.read import number, read_rows, series
from saelab.plots.settings import by_setting, roles
from saelab.plots.source import source
from saelab.plots.style import spread
from saelab.plots.sweep import limits, sweep


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_arrays(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def texts(figure):
    """Everything that is written in a figure."""
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def training(steps=50):
    rows = []
    for step in range(1, steps + 1):
        rows.append({"step": step, "train/loss": 9 / step, "train/recon": 8 / step, "train/ev": 1 - 1 / step})
        if step % 10 == 0:
            rows.append({"step": step, "val/ev": 1 - 1.1 / step, "val/l0": 32, "val/dead": 0.01})
    return rows


def test_curves_of_an_sae(tmp_path):
    write(tmp_path / "metrics.csv", training())
    figure = curves(tmp_path)
    assert titles(figure) == [
        "Loss and its terms",
        "Explained variance",
        "Active latents per row (L0)",
        "Dead latents, fraction",
    ]
    assert "val 0.978" in texts(figure)
    assert "recon" in texts(figure)


def test_curves_of_a_classifier_and_of_nothing(tmp_path):
    rows = [{"step": s, "train/loss": 1.0, "val/loss": 2.0, "val/acc": 0.5} for s in range(3)]
    write(tmp_path / "metrics.csv", rows)
    assert titles(curves(tmp_path)) == ["Loss", "Accuracy"]
    write(tmp_path / "metrics.csv", [{"step": 1, "lr": 0.1}])
    with pytest.raises(ValueError, match="no curve"):
        curves(tmp_path)
    assert draw(tmp_path) == {}


def test_density_counts_the_dead(tmp_path):
    values = [0.0] * 7 + [0.001, 0.01, 0.02, 0.6, 1.0]
    write(tmp_path / "figures/density.csv", [{"latent": i, "density": d} for i, d in enumerate(values)])
    written = texts(density(tmp_path))
    assert "7 dead" in written
    assert any("5 alive" in text for text in written)
    assert "2 on more than half of the rows" in written
    assert (frequency(0), frequency(-2), frequency(-4)) == ("100 %", "1 %", "1 in 10,000")


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 1.0]])
def test_density_of_the_all_dead_and_the_always_on(tmp_path, values):
    write(tmp_path / "figures/density.csv", [{"latent": i, "density": d} for i, d in enumerate(values)])
    assert f"{values.count(0.0)} dead" in texts(density(tmp_path))


def test_examples_mark_wrong_answers(tmp_path):
    g = np.random.default_rng(0)
    data = {
        "images": g.random((3, 8, 8)),
        "label": np.array(["7", "2", "4"]),
        "act": g.standard_normal((3, 300)),
        "recon": g.standard_normal((3, 300)),
        "ev": np.array([0.99, 0.5, -0.1]),
    }
    answers = {"pred_orig": np.array(["7", "2", "9"]), "pred_recon": np.array(["7", "3", "9"])}
    write_arrays(tmp_path / "figures/examples.npz", **data, **answers)
    figure = examples(tmp_path)
    orange = {t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_color() == "#d55e00"}
    assert orange == {"spliced: 3", "net: 9", "spliced: 9"}
    assert any("160 most variable of 300" in text for text in texts(figure))
    write_arrays(tmp_path / "figures/examples.npz", **data)
    assert not any("net:" in text for text in texts(examples(tmp_path)))


@pytest.mark.parametrize("rgb", [(), (3,)])
def test_gallery_frames_other_classes_and_leaves_blanks(tmp_path, rgb):
    write_arrays(
        tmp_path / "figures/latents.npz",
        images=np.random.default_rng(0).random((2, 9, 6, 6, *rgb)),
        value=np.array([[9, 8, 7, 6, 5, 4, 3, 2, 1], [2, 1, 0, 0, 0, 0, 0, 0, 0]], dtype=float),
        latent=np.array([5, 6]),
        concept=np.array(["digit: 3", "digit: 5"]),
        auc=np.array([0.9, 0.8]),
        label=np.array([["3"] * 8 + ["8"], ["5"] * 2 + [""] * 7]),
    )
    figure = latents(tmp_path)
    assert "1.00  (8)" in texts(figure)
    assert sum(len(ax.images) for ax in figure.axes) == 11
    assert sum("left out" in text for text in texts(latents(tmp_path, most=1))) == 1


def test_concepts_with_and_without_probes(tmp_path):
    rows = [
        {"family": f, "concept": c, "best_latent_auc": 0.9, "probe_auc_raw": 0.95, "probe_f1_raw": 0.8}
        for f, c in (("digit", "0"), ("digit", "1"), ("tag", "dot"))
    ]
    write(tmp_path / "figures/concepts.csv", rows)
    figure = concepts(tmp_path)
    assert len(figure.axes) == 2
    assert {"digit", "tag", "0", "1", "dot"} <= set(texts(figure))
    write(tmp_path / "figures/concepts.csv", [{"family": "tag", "concept": "dot", "best_latent_auc": 0.4}])
    assert len(concepts(tmp_path).axes) == 1


def test_confusion_says_how_much_is_right(tmp_path):
    write(tmp_path / "figures/confusion.csv", [{"true": "a", "a": 8, "b": 2}, {"true": "b", "a": 0, "b": 10}])
    assert "90.0 % of 20 right" in texts(confusion(tmp_path))


def test_source_sheet_shows_parts_below(tmp_path):
    images = np.zeros((12, 5, 5))
    write_arrays(tmp_path / "figures/source.npz", images=images, label=np.array(list("abcdefghijkl")))
    assert len(source(tmp_path).axes) == 12
    label = np.array(list("abcdefghijkl"))
    write_arrays(tmp_path / "figures/source.npz", images=images, label=label, part_tag=images)
    figure = source(tmp_path)
    assert len(figure.axes) == 24
    assert {ax.get_ylabel() for ax in figure.axes} == {"", "sum", "tag"}


def test_sweep_draws_a_line_per_group(tmp_path):
    rows = [
        {"job": i, "model": m, "model.k": k, "seed": i, "status": "finished", "test/ev": 0.1 * k, "test/l0": k}
        for i, (m, k) in enumerate([("topk", 2), ("topk", 4), ("relu", 3), ("relu", 5)])
    ]
    rows += [{"job": 9, "model": "relu", "model.k": 9, "seed": 1, "status": "failed"}]
    write(tmp_path / "sweep.csv", rows)
    assert roles(by_setting(read_rows(tmp_path / "sweep.csv")[:4])) == (["model"], ["model.k"])
    figure = sweep(tmp_path / "sweep.csv")
    (ax,) = figure.axes
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2]
    assert {"topk", "relu"} <= set(texts(figure))
    assert draw_sweep(tmp_path / "sweep.csv") == tmp_path / "sweep.png"


def test_sweep_of_two_numbers_and_of_none(tmp_path):
    rows = [
        {"job": i, "k": k, "d_sae": d, "test/acc": 0.5} for i, (k, d) in enumerate([(1, 8), (2, 8), (4, 8), (1, 16)])
    ]
    write(tmp_path / "sweep.csv", rows)
    assert roles(by_setting(read_rows(tmp_path / "sweep.csv"))) == (["d_sae"], ["k"])
    assert [len(line.get_xdata()) for line in sweep(tmp_path / "sweep.csv").axes[0].lines] == [3, 1]
    write(tmp_path / "sweep.csv", [{"job": 0, "status": "failed"}])
    with pytest.raises(ValueError, match="no finished run"):
        sweep(tmp_path / "sweep.csv")


def swept(tmp_path, *rows):
    """The figure of a sweep with these columns per run."""
    write(tmp_path / "sweep.csv", [{"job": i, "status": "finished", **row} for i, row in enumerate(rows)])
    return sweep(tmp_path / "sweep.csv")


def test_sweep_over_seeds_alone_has_dots_and_their_mean(tmp_path):
    ev, dead = (0.97381, 0.97372, 0.97374), (0.006, 0.004, 0.005)
    figure = swept(
        tmp_path, *({"seed": i, "test/ev": ev[i], "test/l0": 32 - i / 1e3, "test/dead": dead[i]} for i in range(3))
    )
    assert [ax.get_ylabel() for ax in figure.axes] == ["Explained variance", "Active latents per row", "Dead latents"]
    written = [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts(figure)]
    assert {"97.376 ± 0.005 %", "32 ± 0", "0.5 ± 0.1 %"} <= set(written)
    assert any("over 3 seeds" in text for text in written)
    for ax, least in zip(figure.axes, (0.02, 3.2, 0.02), strict=True):
        dots, mean = ax.lines
        assert dots.get_linestyle() == "None" and len(dots.get_xdata()) == 3
        assert mean.get_xdata()[0] == pytest.approx(np.mean(dots.get_xdata()))
        assert np.ptp(ax.get_xlim()) >= 0.99 * least


def test_sweep_with_seeds_joins_means_and_shows_the_spread(tmp_path):
    rows = [{"k": k, "seed": s, "test/ev": 0.8 + k / 100 + s / 50, "test/l0": k} for k in (4, 8, 12) for s in (0, 1, 2)]
    figure = swept(tmp_path, *rows)
    (ax,) = figure.axes
    (line,) = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert line.get_xdata().tolist() == [4, 8, 12]
    assert line.get_ydata() == pytest.approx([0.86, 0.90, 0.94])
    dots = [c for c in ax.collections if isinstance(c, mpl.collections.PathCollection)]
    assert [len(c.get_offsets()) for c in dots] == [3, 3, 3]
    bars = [c.get_segments()[0] for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    assert [np.ptp(bar[:, 1]) for bar in bars] == pytest.approx([0.04] * 3)
    assert any("means over 3 seeds; bars: ± one standard deviation" in text for text in texts(figure))


def test_sweep_of_steady_l0_runs_along_the_swept_number_or_has_categories(tmp_path):
    ax = swept(tmp_path, *({"lr": lr, "test/ev": 0.9, "test/l0": 32 + lr / 10} for lr in (1, 2, 3))).axes[0]
    assert ax.get_xlabel() == "lr" and ax.lines[0].get_xdata().tolist() == [1, 2, 3]
    ax = swept(tmp_path, *({"lr": lr, "test/ev": 0.9, "test/l0": 32 + lr} for lr in (1, 2, 3))).axes[0]
    assert ax.get_xlabel().startswith("active latents")
    ax = swept(tmp_path, *({"model": m, "test/ev": 0.9, "test/l0": 32} for m in ("topk", "relu"))).axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["topk", "relu"]
    assert [line.get_linestyle() for line in ax.lines] == ["None"]


def test_sweep_leaves_out_silent_runs_and_says_so(tmp_path):
    rows = [
        {"d": d, "l1": 10.0 / n if n else 99, "test/ev": n / 100, "test/l0": n} for d in (8, 9) for n in (0, 1, 5, 20)
    ]
    figure = swept(tmp_path, *rows)
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines] == [[1, 5, 20]] * 2
    assert "left out: 2 of 8 settings without active latents" in texts(figure)


def test_axis_ranges_keep_to_what_matters():
    assert np.ptp(limits(np.array([0.97, 0.9701]), "test/ev")) == pytest.approx(0.02)
    assert np.ptp(limits(np.array([0.5, 0.5]), "test/loss")) == pytest.approx(0.05)
    low, high = limits(np.array([0.0, 0.999]), "test/acc")
    assert -0.1 < low < 0 and 1 < high < 1.1
    assert limits(np.array([-3.0, 0.9]), "test/ev")[0] < -3


def test_draw_writes_what_there_is_and_keeps_the_users_settings(tmp_path):
    write(tmp_path / "metrics.csv", training())
    write(tmp_path / "figures/density.csv", [{"latent": 0, "density": 0.1}, {"latent": 1, "density": 0.0}])
    (tmp_path / "figures/concepts.csv").write_text("")
    before = dict(mpl.rcParams)
    drawn = draw(tmp_path)
    assert list(drawn) == ["curves", "density"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.values())
    assert dict(mpl.rcParams) == before


def test_reading_and_spreading(tmp_path):
    write(tmp_path / "metrics.csv", [{"step": 1, "a": 2}, {"step": 2}, {"step": 3, "a": "nan"}])
    step, value = series(read_rows(tmp_path / "metrics.csv"), "a")
    assert (step.tolist(), value.tolist()) == ([1], [2])
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("12,7")  # a kill came before the line was whole
    assert [row["step"] for row in read_rows(tmp_path / "metrics.csv")] == ["1", "2", "3"]
    assert np.isnan(number("text"))
    apart = spread([0.5, 0.5, 0.5], gap=0.1)
    assert np.allclose(np.diff(apart), 0.1, atol=1e-3)
