"""Multiruns: jobs listed, one store shared, a failed job told while the rest go on, one table and figure at the end."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from programs import TINY, TINY_BASE, read, run
from saelab.commands.report import tables_of
from saelab.plots.read import read_rows
from saelab.report import join_tables
from saelab.store import Store

FAST = [*TINY, *TINY_BASE, "probe=null", "report=false"]


def table(logs: Path, name: str = "quickstart") -> list[dict[str, str]]:
    (sweep,) = (logs / "sweeps" / name).iterdir()
    return list(csv.DictReader((sweep / "sweep.csv").open()))


def test_dry_run_lists_and_starts_nothing(tmp_path: Path) -> None:
    done = run("train", "-m", "sweep=topk_k", "dry_run=true", logs=tmp_path)
    assert "7 jobs, none started" in done.stdout
    for k in (10, 25, 51, 102, 256, 384, 486):
        assert f"model.sae.k={k}" in done.stdout
    assert "devices: cpu" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_job_is_found_before_any_begins(tmp_path: Path) -> None:
    done = run("train", "-m", "model.sae.k=4,eight", logs=tmp_path, code=2)
    assert "'model.sae.k' is 'eight'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_multirun_shares_a_store_and_ends_in_a_table(tmp_path: Path) -> None:
    done = run("train", "-m", *FAST, "model.sae.k=4,8,16", logs=tmp_path)
    rows = table(tmp_path)
    assert [row["model.sae.k"] for row in rows] == ["4", "8", "16"]
    assert [float(row["test/l0"]) for row in rows] == pytest.approx([4, 8, 16], abs=0.5)
    assert {row["status"] for row in rows} == {"finished"}
    assert len(list((tmp_path / "stores").iterdir())) == 1
    assert done.stdout.count("base   training") == 1
    (sweep,) = (tmp_path / "sweeps/quickstart").iterdir()
    assert (sweep / "sweep.png").exists()
    assert (sweep / "report.html").exists()
    assert sorted(p.name for p in sweep.iterdir() if p.is_dir()) == ["000", "001", "002", "sweep"]  # its studies


def test_a_failed_job_is_told_and_the_rest_go_on(tmp_path: Path) -> None:
    """k = 4000 is more than there are latents, which only building the SAE can tell."""
    done = run("train", "-m", *FAST, "model.sae.k=4000,4", logs=tmp_path, code=1)
    assert "k=4000 must be between 1 and d_sae=512" in done.stderr
    assert [row["model.sae.k"] for row in table(tmp_path)] == ["4"]


def test_limit_and_going_on_with_a_sweep(tmp_path: Path) -> None:
    run("train", "-m", *FAST, "model.sae.k=4,8", "limit=1", logs=tmp_path)
    (sweep,) = (tmp_path / "sweeps/quickstart").iterdir()
    assert len(table(tmp_path)) == 1
    before = read(sweep / "000/run.json")
    done = run("train", "-m", *FAST, "model.sae.k=4,8", f"hydra.sweep.dir={sweep}", logs=tmp_path)
    assert "finished before" in done.stdout
    assert len(table(tmp_path)) == 2
    assert read(sweep / "000/run.json") == before


def test_extract_once_then_found(tmp_path: Path) -> None:
    args = ["store.sites=[net.1,net.3]", "store.site=net.1", *TINY_BASE, "callbacks=quiet"]
    first = run("extract", *args, logs=tmp_path)
    assert "store  extracting" in first.stdout
    assert "rows/s" in first.stdout
    second = run("extract", *args, logs=tmp_path)
    assert "store  found" in second.stdout
    (path,) = (tmp_path / "stores").iterdir()
    store = Store(path)
    assert store.sites == {"net.1": 512, "net.3": 512}
    assert {split: store.rows(split) for split in store.splits} == {"train": 3600, "val": 400, "test": 1000}


def test_a_store_of_ones_own_array(tmp_path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    np.save(tmp_path / "acts.npy", rng.standard_normal((500, 24), dtype=np.float32))
    np.save(tmp_path / "kind.npy", rng.integers(0, 3, 500))
    data = ["data=array", f"data.path={tmp_path / 'acts.npy'}", f"+data.labels.kind={tmp_path / 'kind.npy'}"]
    run("extract", *data, logs=tmp_path / "logs")
    run("train", *data, *TINY, "batch_size=64", logs=tmp_path / "logs")
    (path,) = (tmp_path / "logs/runs/quickstart").iterdir()
    metrics = read(path / "metrics.json")
    assert "test/ev" in metrics
    assert "probe/codes/kind/acc" in metrics
    assert (path / "report.html").exists()
    done = run("extract", "data=array", "data.path=nowhere.npy", logs=tmp_path / "logs", code=2)
    assert "nowhere.npy" in done.stderr


def test_jobs_of_sweeps_are_compared_by_what_the_sweeps_varied(tmp_path: Path) -> None:
    """Of chosen jobs the tables say it; a run that no table has is compared by its config, and so are all then."""
    for sweep, jobs in {"one": "000,topk\n001,relu\n", "two": "000,gated\n"}.items():
        (tmp_path / sweep).mkdir()
        (tmp_path / sweep / "sweep.csv").write_text(f"job,model\n{jobs}")
    runs = [tmp_path / "one/001", tmp_path / "two/000"]
    tables = tables_of(runs)
    assert tables == [tmp_path / "one/sweep.csv", tmp_path / "two/sweep.csv"]
    assert [row["model"] for row in read_rows(join_tables(tables, tmp_path / "both.csv", runs))] == ["relu", "gated"]
    assert tables_of([*runs, tmp_path / "two/001"]) == []
    assert tables_of([tmp_path / "runs/x"]) == []
