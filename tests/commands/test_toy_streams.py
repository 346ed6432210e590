"""A dense and a sparse truth, from the command line: one stream and two, beside their baselines."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import saelab
from programs import TINY, only_run, read, run
from saelab.analysis.atoms import atoms_of, parts_of
from saelab.analysis.leakage import r2
from saelab.data import Toy
from saelab.store import Store

SIZES = {"train_length": 600, "val_length": 100, "test_length": 400, "d": 12, "n_features": 20}
DENSE = {"dense": "torus", "dense_dim": None, "dense_energy": 2.0}
WRITTEN = {name: "null" if value is None else value for name, value in (SIZES | DENSE).items()}
TOY = ["experiment=toy_densae", "data=toy", *(f"data.{name}={value}" for name, value in WRITTEN.items())]
SAE = ["model.sae.d_sae=16", "model.sae.aux_k=4", "batch_size=64", *TINY]
WHO = ("", "chance_", "linear_", "lasso_", "ideal_")
KNOWN = ("dense_r2", "dense_cca", "z_in_sparse", "z_leak", "s_in_sparse", "s_in_dense", "s_leak", "dense_ev")


def table(path: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((path / f"figures/{name}.csv").open()))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory in which an SAE of two streams and one of one were trained on a toy."""
    logs = tmp_path_factory.mktemp("logs")
    done = run("train", *TOY, *SAE, "model.sae.n_dense=5", "name=two", logs=logs)
    assert "R² of the dense part from the dense code" in done.stdout
    run("train", *TOY, *SAE, "model=topk", "l0=2", "report=false", "name=one", logs=logs)
    return logs


def test_two_streams(logs: Path) -> None:
    path = only_run(logs, "two")
    metrics, rows = read(path / "metrics.json"), {row["code"]: row for row in table(path, "streams")}
    assert {f"truth/{who}{name}" for who in WHO for name in KNOWN} <= {*metrics}
    assert list(rows) == ["sae", "chance", "linear", "lasso", "ideal"]
    assert float(rows["sae"]["dense_r2"]) == metrics["truth/dense_r2"]
    assert metrics["truth/ideal_dense_r2"] == pytest.approx(1, abs=1e-4)
    assert 0.9 < metrics["truth/oracle_ev"] < 1  # 16 latents for 20 features, and the dense part
    assert metrics["truth/l0"] == pytest.approx(0.04 * 20, abs=0.2)  # of the truth still
    assert [row["code"] for row in table(path, "rate")].count("linear") > 10
    assert len(table(path, "features")) == 20
    assert "Which part is in which stream?" in (path / "report.html").read_text()


def test_the_numbers_are_those_of_the_saved_sae(logs: Path) -> None:
    path = only_run(logs, "two")
    sae, source = saelab.load_sae(path), Toy(**SIZES, **DENSE)
    item = Store(read(path / "run.json")["store"]["path"]).index("test").item
    batch = source.batch("test", item)
    with torch.no_grad():
        atoms = atoms_of(sae, batch.x[:1])
        parts, whole = parts_of(sae, batch.x, atoms), sae(batch.x)
    torch.testing.assert_close(parts.sparse + parts.dense, whole, atol=1e-5, rtol=0)
    assert parts.h.shape == (400, 5)
    fit = torch.arange(400) < 200
    metrics = read(path / "metrics.json")
    for name, code, target in (("dense_r2", parts.h, "dense"), ("s_in_sparse", parts.f, "sparse")):
        assert metrics[f"truth/{name}"] == pytest.approx(r2(code, batch.parts[target], fit=fit), abs=1e-4)


def test_one_stream(logs: Path) -> None:
    path = only_run(logs, "one")
    metrics = read(path / "metrics.json")
    assert metrics["truth/dense_r2"] == metrics["truth/dense_cca"] == metrics["truth/s_leak"] == 0
    assert metrics["truth/z_leak"] == metrics["truth/z_in_sparse"] > 0.1
    assert metrics["truth/chance_l0"] <= 2


def test_without_a_dense_part_features_alone_are_scored(logs: Path) -> None:
    sparse = ["data.dense_dim=0", "data.dense_energy=null", "model=topk", "l0=2", "report=false", "name=sparse"]
    run("train", *TOY, *SAE, *sparse, logs=logs)
    path = only_run(logs, "sparse")
    metrics = read(path / "metrics.json")
    assert {"truth/best_cos", "truth/chance_best_cos", "truth/matched_auroc", "truth/matched_ap"} <= {*metrics}
    assert "truth/dense_r2" not in metrics and not (path / "figures/streams.csv").exists()
