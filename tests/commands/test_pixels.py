"""Pixels and activations of sums of pictures, from the command line: streams beside the parts that were summed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import saelab
from programs import TINY, TINY_BASE, only_run, read, run
from saelab.analysis.separation import sdr, streams_of
from saelab.config import compose
from saelab.data import Combined
from saelab.store import Store

SMALL = ["data.length=300", "model.sae.d_sae=16", "model.sae.aux_k=4", "d_dense=3", "batch_size=64", *TINY]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory with a model of two streams on pixels, and one whose streams are walled off from each other."""
    logs = tmp_path_factory.mktemp("logs")
    done = run("train", "experiment=pixels_densae", *SMALL, "model.sae.l1=0.3", logs=logs)
    assert "SDR of the parts, dB" in done.stdout
    walls = ["data.layout=side_by_side", "model.sae.route=[56,28]", "report=false", "name=walls"]
    run("train", "experiment=pixels_vae_sae", *SMALL, *walls, logs=logs)
    return logs


def source(*overrides: str) -> Combined:
    from hydra.utils import instantiate

    made = instantiate(compose("train", ["experiment=pixels_densae", *SMALL, *overrides]).data, _convert_="all")
    made.setup()
    return made


def test_scores_are_those_of_the_saved_model(logs: Path) -> None:
    path = only_run(logs, "pixels_densae")
    metrics, sae = read(path / "metrics.json"), saelab.load_sae(path)
    store = Store(read(path / "run.json")["store"]["path"])
    assert {split: store.rows(split) for split in store.splits} == {
        "train": 300, "val": 400, "test": 1000, "test_unseen": 1000
    }  # fmt: skip
    for split in ("test", "test_unseen"):
        item = store.index(split).item
        x, parts = source().batch(split, item).x.flatten(1), source().placed(split, item)
        assert torch.equal(x, store.tensor(split, "x"))
        with torch.no_grad():
            streams = streams_of(sae, x)
        if split == "test":
            missing = (x - streams.dense - streams.sparse).square().sum() / (x - x.mean(0)).square().sum()
            assert 1 - missing.item() == pytest.approx(metrics["test/ev"], abs=1e-4)
        for name, part in parts.items():
            for stream in ("dense", "sparse"):
                expected = sdr(part.flatten(1), getattr(streams, stream)).nanmedian().item()
                assert metrics[f"separation/{split}/{name}/{stream}_sdr"] == pytest.approx(expected, abs=1e-3)
    assert metrics["separation/clipped"] == pytest.approx(0, abs=1e-6)
    assert metrics["separation/test/ideal_score"] > 60


def test_tables_and_page(logs: Path) -> None:
    path = only_run(logs, "pixels_densae")
    metrics = read(path / "metrics.json")
    roles = ["digit", "tag"] if not metrics["separation/swapped"] else ["tag", "digit"]
    mean = sum(metrics[f"separation/test/{n}/{s}_sdr"] for n, s in zip(roles, ("dense", "sparse"), strict=True)) / 2
    assert metrics["separation/test/score"] == pytest.approx(mean)
    for name in ("digit", "tag"):
        for code in ("raw", "dense", "sparse", "both"):
            assert 0 <= metrics[f"separation/test/{name}/{code}_acc"] <= 1
    assert metrics["separation/test/tag/raw_acc"] > 0.5 > metrics["separation/test_unseen/tag/raw_acc"]
    assert metrics["separation/test/digit/mixture_sdr"] == pytest.approx(
        -metrics["separation/test/tag/mixture_sdr"], abs=0.5
    )
    page = (path / "report.html").read_text()
    assert "Of the parts of a picture the " in page and "What each stream makes of a picture" in page
    with np.load(path / "figures/pictures.npz") as pictures:
        assert pictures["x"].shape == (2, 12, 28, 28)
        np.testing.assert_allclose(pictures["x"], pictures["part_digit"] + pictures["part_tag"], atol=1e-6)
        np.testing.assert_allclose(pictures["whole"], pictures["dense"] + pictures["sparse"], atol=1e-6)


def test_factors_of_loops_are_not_their_pictures(tmp_path: Path) -> None:
    small = ["data.length=200", "data.components.loop.train_length=200", *SMALL[1:], "report=false"]
    run("train", "experiment=pixels_densae", "data=pixels_loops", *small, logs=tmp_path)
    path = only_run(tmp_path, "pixels_densae")
    metrics = read(path / "metrics.json")
    with (path / "figures/readouts.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["family"] == "loop" and row["split"] == "test"]
    assert [row["kind"] for row in rows] == ["r2"] * 4
    for row in rows:
        assert metrics[f"separation/test/loop/{row['code']}_factor_r2"] == pytest.approx(float(row["value"]))
    with (path / "figures/separation.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["code"], row["component"]) == ("sae", "loop")]
    for row in rows:
        assert metrics[f"separation/test/loop/{row['stream']}_r2"] == pytest.approx(float(row["r2"]))


def test_walls_between_streams(logs: Path) -> None:
    path = only_run(logs, "walls")
    metrics = read(path / "metrics.json")
    assert metrics["separation/swapped"] == 0
    with np.load(path / "figures/pictures.npz") as pictures:
        assert pictures["x"].shape == (2, 12, 28, 56) and pictures["prior"].shape == (12, 28, 56)
        assert np.abs(pictures["sparse"][..., :28]).max() < 1e-5  # the digit's side
        assert np.abs(pictures["part_tag"][..., :28]).max() == 0


def test_activations_are_read_but_not_pictured(tmp_path: Path) -> None:
    small = ["model.sae.d_sae=32", "model.sae.aux_k=4", "batch_size=64", "report=false", *TINY, *TINY_BASE]
    run("train", "experiment=activations_svae", *small, logs=tmp_path)
    path = only_run(tmp_path, "activations_svae")
    metrics = read(path / "metrics.json")
    assert {f"separation/test_unseen/{n}/{c}_acc" for n in ("digit", "tag") for c in ("dense", "raw")} <= {*metrics}
    assert "separation/test/score" not in metrics
    assert not (path / "figures/separation.csv").exists() and not (path / "figures/pictures.npz").exists()


def test_pixels_that_are_no_sum(tmp_path: Path) -> None:
    mnist = ["data=mnist", "base=null", "store.sites=[x]", "model=mlp_vae", "model.sae.hidden=16", "report=false"]
    run("train", *mnist, "probe=null", "name=vae", *TINY, logs=tmp_path)
    path = only_run(tmp_path, "vae")
    with np.load(path / "figures/pictures.npz") as pictures:
        assert [*pictures["split"]] == ["test"] and pictures["prior"].shape == (12, 28, 28)
        assert not pictures["sparse"].any() and pictures["dense"].any()
        assert pictures["x"].min() >= 0 and pictures["x"].max() <= 1.001
    assert not any(name.startswith("separation/") for name in read(path / "metrics.json"))
