"""Figures of streams beside the parts of a sum: what is drawn, in which order, and what is left out."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import AxesImage

from saelab.analysis.save import write_csv, write_npz
from saelab.plots.draw import draw
from saelab.plots.pictures import pictures, rows_of
from saelab.plots.separation import separation

CANDIDATES = {"sae": 4.0, "pca": 3.0, "ideal": 120.0}


def readouts(run):
    rows = [
        {"code": code, "family": family, "split": split, "kind": "acc", "value": 0.5}
        for family in ("digit", "tag")
        for code in ("raw", "dense", "sparse", "both")
        for split in ("test", "test_unseen")
    ]
    write_csv(run / "figures/readouts.csv", rows)


def scores(run):
    rows = [
        {"code": code, "split": split, "component": part, "stream": stream, "role": int((part, stream) in ROLES)}
        | {"sdr": sdr, "low": sdr - 1, "high": sdr + 1}
        for code, sdr in CANDIDATES.items()
        for part in ("digit", "tag")
        for stream in ("dense", "sparse", "whole")
        for split in ("test", "test_unseen")
    ]
    write_csv(run / "figures/separation.csv", rows)


ROLES = {("digit", "dense"), ("tag", "sparse")}


def arrays(splits=("test", "test_unseen"), dense=1.0):
    x = np.random.default_rng(0).random((len(splits), 8, 5, 7))
    half = {"dense": dense * x / 2, "sparse": x - dense * x / 2}
    label = np.array([["digit 1 tag 2"] * 8] * len(splits))
    return {"split": np.array(splits), "label": label, "x": x, "part_digit": x, "part_tag": 0 * x, "whole": x} | half


def texts(figure):
    return {text.get_text() for text in figure.findobj(mpl.text.Text)}


def test_scores_of_the_streams_in_their_roles(tmp_path):
    readouts(tmp_path)
    scores(tmp_path)
    figure = separation(tmp_path)
    digit, tag, *read = figure.axes
    assert [digit.get_title("left"), tag.get_title("left")] == ["digit: dense stream", "tag: sparse stream"]
    assert len(read) == 2
    assert "the truth" not in texts(figure)  # beyond the axis
    dots = [line for line in digit.lines if line.get_marker() == "o"]
    assert sorted(float(dot.get_xdata()[0]) for dot in dots) == [3, 3, 4, 4]
    assert draw(tmp_path)["separation"].exists()


def test_read_outs_alone(tmp_path):
    readouts(tmp_path)
    figure = separation(tmp_path)
    assert [ax.get_title("left") for ax in figure.axes] == ["digit read from a code", "tag read from a code"]


def test_pictures_layers(tmp_path):
    write_npz(tmp_path / "figures/pictures.npz", arrays())
    figure = pictures(tmp_path)
    said = texts(figure)
    assert {"picture", "its digit", "its tag", "dense stream", "sparse stream", "both", "digit 1\ntag 2"} <= said
    assert "what is missing" not in said and "samples" not in said  # nothing is, and there is no prior
    images = figure.findobj(AxesImage)
    assert len(images) == 6 * 12  # layers, and six of each split
    assert draw(tmp_path)["pictures"].exists()


@pytest.mark.parametrize("prior", [False, True])
def test_one_stream_one_split_and_samples(tmp_path, prior):
    data = arrays(("test",), dense=0.0)
    data["whole"] = data["x"] * 0.9
    layers = rows_of(data)
    assert [*layers] == ["picture", "its digit", "its tag", "sparse stream", "both", "what is missing"]
    np.testing.assert_allclose(layers["what is missing"], data["x"] * 0.1)
    write_npz(tmp_path / "figures/pictures.npz", data | ({"prior": data["x"][0]} if prior else {}))
    figure = pictures(tmp_path)
    assert ("samples" in texts(figure)) == prior
    assert len(figure.findobj(AxesImage)) == 8 * (6 + prior)


def test_concepts_of_a_model_that_is_dead_are_not_drawn(tmp_path):
    row = {
        "family": "digit",
        "concept": "1",
        "n": 9,
        "best_latent": -1,
        "best_latent_auc": "",
        "best_latent_density": 0,
    }
    write_csv(tmp_path / "figures/concepts.csv", [row])
    assert draw(tmp_path) == {}
