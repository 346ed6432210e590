"""The figure of streams: shares that add up, candidates that are there, one stream or two."""

import matplotlib as mpl
import pytest

from saelab.analysis.save import write_csv
from saelab.plots import draw
from saelab.plots.streams import streams

CODES = ("sae", "chance", "linear", "lasso", "ideal")


def scores(code, **more):
    row = {"code": code, "dense_r2": 0.9, "z_leak": 0.05, "s_in_sparse": 0.8, "s_leak": -0.01}
    return row | more


def write(run, *rows):
    write_csv(run / "figures/streams.csv", rows)
    curve = [{"code": row["code"], "step": 1 / b, "bits": b, "ev": b / 200} for row in rows for b in (4, 64, 150)]
    write_csv(run / "figures/rate.csv", curve)


def widths(ax):
    return [round(bar.get_width(), 3) for bar in ax.patches]


def test_bars_and_lines(tmp_path):
    write(tmp_path, *map(scores, CODES))
    figure = streams(tmp_path)
    z, s, bits = figure.axes
    assert widths(z) == [1.0] * 4 + [0.9] * 4 + [0.05] * 4
    assert widths(s) == [1.0] * 4 + [0.8] * 4 + [0.0] * 4  # a leak below zero is none
    lines = [line.get_xdata().tolist() for line in bits.lines]
    assert lines == [[4, 64]] * 4
    told = {text.get_text() for text in figure.findobj(mpl.text.Text)}
    assert {"this SAE", "dense code", "sparse code adds", "sparse code", "dense code adds"} <= told
    assert draw(tmp_path)["streams"].exists()


@pytest.mark.parametrize("codes", [("sae",), ("sae", "chance")])
def test_one_stream_and_few_candidates(tmp_path, codes):
    write(tmp_path, *(scores(code, dense_r2=0, z_leak=0.7) for code in codes))
    z, _, bits = streams(tmp_path).axes
    assert widths(z)[len(codes) :] == [0.0] * len(codes) + [0.7] * len(codes)
    assert len(bits.lines) == len(codes)
