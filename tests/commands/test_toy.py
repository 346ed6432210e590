"""Vectors with a known truth, from the command line: no base network, true features in the metrics."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

import saelab
from programs import TINY, only_run, read, run
from saelab.analysis.truth import cosines, match, mcc
from saelab.config import compose
from saelab.data import Toy
from saelab.store import Store

SMALL = ["data.train_length=600", "data.val_length=100", "data.test_length=300", "data.d=12", "data.n_features=20"]
ROWS = ["data=toy", "base=null", "store=default", "store.sites=[x]", *SMALL]
SAE = ["model.sae.d_sae=16", "model.sae.k=3", "model.sae.aux_k=4", "batch_size=64", *TINY]
SCORES = ["mcc", "chance_mcc", "uniqueness", "found", "precision", "recall", "f1", "auroc", "shrinkage", "l0"]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((path / "figures/truth.csv").open()))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory in which an SAE was trained on a toy."""
    logs = tmp_path_factory.mktemp("logs")
    done = run("train", *ROWS, *SAE, logs=logs)
    assert "store  extracting" in done.stdout
    assert "base " not in done.stdout
    assert "matched cosine with true features" in done.stdout
    assert "F1 as detectors" in done.stdout
    return logs


def test_the_store_holds_the_toys_rows(logs: Path) -> None:
    info = read(only_run(logs, "quickstart") / "run.json")
    store = Store(info["store"]["path"])
    assert (store.sites, info["store"]["site"], info["source"]) == ({"x": 12}, "x", "Toy")
    source = Toy(train_length=600, val_length=100, test_length=300, d=12, n_features=20)
    for split in source.splits:
        item = store.index(split).item
        assert item.sort().values.tolist() == [*range(source.size(split))]
        assert torch.equal(store.tensor(split, "x"), source.batch(split, item).x)


def test_the_metrics_are_those_of_the_saved_sae(logs: Path) -> None:
    path = only_run(logs, "quickstart")
    metrics, rows = read(path / "metrics.json"), table(path)
    source = Toy(train_length=600, val_length=100, test_length=300, d=12, n_features=20)
    assert {f"truth/{name}" for name in (*SCORES, "oracle_ev")} <= set(metrics)
    sae, batch = saelab.load_sae(path), source.batch("test", torch.arange(300))
    assert source.dictionary is not None
    cos = cosines(sae.W_dec.detach(), source.dictionary)
    assert metrics["truth/mcc"] == pytest.approx(mcc(cos), abs=1e-5)
    assert [int(row["matched"]) for row in rows] == match(cos).feature.tolist()
    assert metrics["truth/l0"] == pytest.approx((batch.parts["sparse"] > 0).sum(1).float().mean().item())
    fires = sae.encode(batch.x) != 0
    f1 = []
    for i, t in enumerate(cos.abs().argmax(1).tolist()):
        present = batch.parts["sparse"][:, t] > 0
        f1.append(2 * (fires[:, i] & present).sum().item() / max(1, (fires[:, i].sum() + present.sum()).item()))
    assert [float(row["f1"]) for row in rows] == pytest.approx(f1)
    assert metrics["truth/f1"] == pytest.approx(sum(f1) / 16)
    assert "figures/truth.csv" in (path / "report.html").read_text()


def test_an_easy_truth_is_found(logs: Path) -> None:
    """48 features in 32 dimensions, 2.4 of them on a row: a TopK SAE finds most of them in a few seconds."""
    toy = ["data.train_length=8000", "data.d=32", "data.n_features=48", "data.p=0.05", "name=easy", "report=false"]
    sae = ["model.sae.d_sae=48", "model.sae.k=3", "model.sae.aux_k=12", "batch_size=128", "callbacks=quiet"]
    run("train", *ROWS, *toy, *sae, "trainer.max_epochs=15", logs=logs)
    metrics = read(only_run(logs, "easy") / "metrics.json")
    assert metrics["truth/mcc"] > 0.87 > 0.5 > metrics["truth/chance_mcc"]
    assert metrics["truth/found"] > 0.7
    assert metrics["truth/f1"] > 0.65
    assert 0.7 < metrics["truth/shrinkage"] < 1


def test_the_same_toy_is_found_and_another_is_not(logs: Path) -> None:
    again = run("train", *ROWS, *SAE, "name=again", "data.device=cpu", "seed=1", "report=false", logs=logs)
    assert "store  found" in again.stdout
    other = run("train", *ROWS, *SAE, "name=other", "data.noise_std=0.1", "report=false", logs=logs)
    assert "store  extracting" in other.stdout
    stores = {read(only_run(logs, name) / "run.json")["store"]["path"] for name in ("quickstart", "again", "other")}
    assert len(stores) == 2
    assert read(only_run(logs, "other") / "metrics.json")["truth/oracle_ev"] < 1


def test_dense_factors_can_be_probed(logs: Path) -> None:
    dense = ["data.dense_dim=2", "data.dense_scale=2.0", "name=dense", "model@probe=probe", "report=false"]
    run("train", *ROWS, *SAE, *dense, logs=logs)
    metrics = read(only_run(logs, "dense") / "metrics.json")
    assert metrics["probe/raw/dense/r2"] > 0.5
    assert "probe/codes/dense/r2" in metrics


def test_rows_that_are_normalised_one_by_one(logs: Path) -> None:
    run("train", *ROWS, *SAE, "model.sae.normalize=layer_norm", "name=ln", "report=false", logs=logs)
    assert read(only_run(logs, "ln") / "metrics.json")["truth/shrinkage"] > 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["base=null"], "'store.sites' is ['net.3'], but without a base network the rows are stored as they are"),
        (["data=toy", "base=null", "store=null"], "'store' is null: an SAE or a probe needs one"),
        (["data=toy", "base=null"], "'store.sites' is ['net.3'], but without a base network the rows are stored as"),
        (
            ["data=toy", "base=null", "store.sites=[x]", "data.k=0", "data.sparse=exactly_k"],
            "data: k=0 is out of range",
        ),
    ],
)
def test_what_is_missing_is_told(args: list[str], says: str, tmp_path: Path) -> None:
    done = run("train", *args, logs=tmp_path, code=2)
    assert says in done.stderr
    assert not list((tmp_path / "runs").glob("*/*"))


def test_a_store_of_other_rows_is_refused(logs: Path) -> None:
    path = read(only_run(logs, "quickstart") / "run.json")["store"]["path"]
    done = run("train", *ROWS, *SAE, f"store.path={path}", "data.seed=9", "name=bad", logs=logs, code=2)
    assert "which holds other rows than this data: set it to null" in done.stderr


def test_an_array_with_its_truth(tmp_path: Path) -> None:
    source = Toy(d=12, n_features=20, train_length=500)
    batch = source.batch("train", torch.arange(500))
    named = {"acts": batch.x, "truth": source.dictionary, "codes": batch.parts["sparse"]}
    for name, value in named.items():
        np.save(tmp_path / f"{name}.npy", value)
    data = ["data=array", f"data.path={tmp_path / 'acts.npy'}", f"data.dictionary={tmp_path / 'truth.npy'}"]
    codes = f"data.codes={tmp_path / 'codes.npy'}"
    run("train", *data, codes, *SAE, "name=known", logs=tmp_path / "logs")
    known = read(only_run(tmp_path / "logs", "known") / "metrics.json")
    assert {f"truth/{name}" for name in SCORES} <= set(known)
    assert known["truth/oracle_ev"] > 0.8
    run("train", *data, *SAE, "name=directions", "report=false", logs=tmp_path / "logs")
    directions = read(only_run(tmp_path / "logs", "directions") / "metrics.json")
    assert directions["truth/mcc"] == known["truth/mcc"]
    assert "truth/f1" not in directions
    done = run("train", *data[:2], codes, *SAE, "name=bad", logs=tmp_path / "logs", code=2)
    assert "are of directions that are not given" in done.stderr


@pytest.mark.parametrize("words", [["base=null"], ["~base"], ["base=null", "logger=null", "debug=null"]])
def test_nothing_can_be_chosen_of_a_group(words: list[str]) -> None:
    cfg = compose("train", words)
    assert cfg.base is None
    assert cfg.name == "quickstart"


def test_neither_a_probe_nor_what_was_tuned() -> None:
    assert compose("train", ["model@probe=null"]).probe is None
    tuned = compose("train", ["experiment=synth_small", "model=densae", "tuned=null"])
    assert tuned == compose("train", ["experiment=synth_small", "model=densae", "~tuned"])
