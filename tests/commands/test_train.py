"""`train` from nothing to a report, as a user runs it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import saelab
from programs import CHECKOUT, TINY, TINY_BASE, launch, only_run, read, run
from saelab.config import compose
from saelab.store import Store

EXPERIMENTS = sorted(f.stem for f in (CHECKOUT / "configs/experiment").glob("*.yaml"))
LIKE_THE_FIXTURE = ("quickstart", "mnist_topk")  # it has drawn such a page
ROUGH = ["folds=2", "tol=0.1"]  # what a probe needs to be quick
TINY_PROBE = [f"probe.{option}" for option in ROUGH]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory in which the quickstart, made tiny, has run once."""
    logs = tmp_path_factory.mktemp("logs")
    done = run("train", *TINY, *TINY_BASE, *TINY_PROBE, logs=logs)
    assert "base   training" in done.stdout
    assert "store  extracting" in done.stdout
    assert "explained variance" in done.stdout
    assert "report.html" in done.stdout
    return logs


def test_a_run_leaves_what_it_should(quickstart: Path) -> None:
    path = only_run(quickstart, "quickstart")
    for file in ("config.yaml", "cfg.json", "sae.safetensors", "report.html", "checkpoints/last.ckpt"):
        assert (path / file).exists(), file
    info, metrics = read(path / "run.json"), read(path / "metrics.json")
    assert info["status"] == "finished"
    assert info["kind"] == "sae"
    assert info["store"]["rows"] == 5000
    assert info["command"].startswith("python src/train.py callbacks=quiet")
    for key in ("ev", "mse", "l0", "dead", "loss_recovered", "acc_recovered"):
        assert f"test/{key}" in metrics, key
    for features in ("raw", "codes"):
        assert 0 <= metrics[f"probe/{features}/digit/acc"] <= 1
    assert metrics["test/l0"] <= 32
    html = (path / "report.html").read_text()
    assert 'src="http' not in html
    assert html.count("data:image/png") >= 5
    for figure in ("density", "concepts", "probes"):
        assert (path / f"figures/{figure}.csv").exists()


def test_concepts_are_scored_and_counted_alike_in_every_file(quickstart: Path) -> None:
    path = only_run(quickstart, "quickstart")
    metrics = read(path / "metrics.json")
    with np.load(path / "figures/concept_scores.npz") as arrays:
        assert arrays["digit/train"].shape == arrays["digit/test"].shape == arrays["digit/sign"].shape == (512, 10)
        assert arrays["digit/classes"].tolist() == list("0123456789")
        assert metrics["concepts/dead"] == pytest.approx(1 - arrays["alive"].mean())
        assert arrays["density"].sum() == pytest.approx(metrics["test/l0"], rel=1e-5)
    rows = list(csv.DictReader((path / "figures/concepts.csv").open()))
    for name in ("recovered", "detected"):
        assert metrics[f"concepts/digit/{name}"] == sum(int(row[name]) for row in rows)
    for row in rows:
        assert float(row["best_auc_low"]) <= float(row["best_auc"]) <= float(row["best_auc_high"])
    for name in ("coverage", "selective", "mean_best_auc", "redundancy", "entropy"):
        assert metrics[f"concepts/digit/{name}"] > 0
    for name in ("W_enc_stable_rank", "W_dec_stable_rank", "shared_neurons"):
        assert 0 < metrics[f"concepts/{name}"] < 512


def test_curves_have_every_step_and_split(quickstart: Path) -> None:
    rows = list(csv.DictReader((only_run(quickstart, "quickstart") / "metrics.csv").open()))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps))
    assert sum(bool(row["train/loss"]) for row in rows) == 6
    assert sum(bool(row["val/ev"]) for row in rows) == 2
    for row in rows:
        if row["train/loss"]:
            terms = [float(row[f"train/{name}"] or 0) for name in ("recon", "aux", "reanimate")]
            assert float(row["train/loss"]) == pytest.approx(sum(terms), rel=1e-4, abs=1e-4)


def test_the_saved_sae_is_the_one_that_was_tested(quickstart: Path) -> None:
    path = only_run(quickstart, "quickstart")
    sae, info = saelab.load_sae(path), read(path / "run.json")
    store = Store(info["store"]["path"])
    x = store.tensor("test", info["store"]["site"])
    ev = 1 - (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert ev.item() == pytest.approx(read(path / "metrics.json")["test/ev"], abs=1e-5)


def test_the_second_time_base_and_store_are_found(quickstart: Path) -> None:
    done = run(
        "train",
        *TINY,
        *TINY_BASE,
        "name=again",
        "model.sae.k=8",
        "probe=null",
        "report=false",
        "concepts=null",
        logs=quickstart,
    )
    assert "base   found" in done.stdout
    assert "store  found" in done.stdout
    assert len(list((quickstart / "stores").iterdir())) == 1
    path = only_run(quickstart, "again")
    assert not (path / "report.html").exists()
    metrics = read(path / "metrics.json")
    assert metrics["test/l0"] <= 8
    assert not any("concepts" in name for name in metrics)
    assert not list(path.glob("figures/concept*"))


def test_what_does_not_change_content_does_not_change_the_hash(quickstart: Path) -> None:
    paths = ["logger=tensorboard", "callbacks=default", "trainer.log_every_n_steps=2", "data.device=cpu"]
    done = run("train", *TINY, *TINY_BASE, *paths, "name=tb", "probe=null", "report=false", logs=quickstart)
    assert "store  found" in done.stdout
    assert list(only_run(quickstart, "tb").glob("tensorboard/events*"))


def test_probe_on_codes_and_chosen_latents(quickstart: Path) -> None:
    sae = only_run(quickstart, "quickstart")
    args = ["experiment=probe_mnist", f"sae={sae}", "latents=[0,1,2]", "name=three", *TINY_BASE]
    run("train", *args, *(f"model.{option}" for option in ROUGH), logs=quickstart)
    metrics = read(only_run(quickstart, "three") / "metrics.json")
    assert list(metrics) == ["probe/codes/digit/acc", "probe/codes/digit/f1"]


def test_wandb_offline_needs_no_account(quickstart: Path) -> None:
    """In a new interpreter, because W&B finishes a run when that exits."""
    args = ["logger=wandb", "logger.wandb.offline=true", "log_checkpoints=true", "name=wb", "probe=null"]
    launch("train", *TINY, *TINY_BASE, *args, "report=false", logs=quickstart, WANDB_MODE="offline")
    path = only_run(quickstart, "wb")
    assert list(path.glob("wandb/offline-run-*/*.wandb"))


def test_eval_repeats_the_numbers(quickstart: Path) -> None:
    path = only_run(quickstart, "quickstart")
    run("eval", f"run={path}", logs=quickstart)
    again, before = read(path / "eval_test.json"), read(path / "metrics.json")
    for key, value in again.items():
        assert value == pytest.approx(before[key], rel=1e-5), key
    base = only_run(quickstart, "base_mlp")
    run("eval", f"run={base}", logs=quickstart)
    assert read(base / "eval_test.json")["test/acc"] == pytest.approx(read(base / "metrics.json")["test/acc"])


def test_report_is_redrawn_from_files_alone(quickstart: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(
        only_run(quickstart, "quickstart"), copy, ignore=shutil.ignore_patterns("*.png", "*.html", "*.ckpt")
    )
    run("report", f"run={copy}", logs=quickstart)
    assert (copy / "report.html").exists()
    assert (copy / "figures/density.png").exists()
    done = run("report", "run=nowhere", logs=quickstart, code=2)
    assert "nowhere" in done.stderr


def test_config_of_a_run_is_whole(quickstart: Path) -> None:
    config = yaml.safe_load((only_run(quickstart, "quickstart") / "config.yaml").read_text())
    assert config["model"]["sae"]["_target_"] == "saelab.sae.TopK"
    assert config["base"]["model"]["net"]["hidden_sizes"] == [512, 512, 256]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_two_steps(experiment: str, quickstart: Path) -> None:
    cfg = compose("train", [f"experiment={experiment}"])
    tiny = TINY_BASE if cfg.base is not None else []
    tiny = [*tiny, *TINY_PROBE] if cfg.probe is not None else tiny
    tiny = [*tiny, "report=false"] if experiment in LIKE_THE_FIXTURE else tiny
    run("train", f"experiment={experiment}", "debug=limit", "callbacks=quiet", "name=two_steps", *tiny, logs=quickstart)


@pytest.mark.parametrize("debug", ["fast_dev_run", "overfit", "profiler"])
def test_debug_configs_run(debug: str, quickstart: Path) -> None:
    args = ["callbacks=quiet", "trainer.max_epochs=1", *TINY_BASE, "probe=null", "name=debug"]
    run("train", f"debug={debug}", *args, logs=quickstart)


def test_rules_across_arguments_are_config_errors(quickstart: Path) -> None:
    done = run("train", *TINY_BASE, "model.sae.k=99", "model.sae.d_sae=9", "name=bad", logs=quickstart, code=2)
    assert "config error: model: k=99 must be between 1 and d_sae=9" in done.stderr
    done = run("train", *TINY_BASE, "store.sites=[net.9]", "name=bad", logs=quickstart, code=2)
    assert "config error: store: no site 'net.9'" in done.stderr
    assert not list((quickstart / "runs").glob("bad/*"))
