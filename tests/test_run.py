"""A run directory: exclusive, honest about how it ended, found by its recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saelab.nets import MLP
from saelab.run import Run, find, load_net, load_sae, new_directory, runs, save_module


def start(path: Path, recipe: str = "abc") -> Run:
    return Run.start(path, name="n", kind="sae", recipe=recipe, config_yaml="a: 1\n")


def test_directories_made_in_the_same_second_differ(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: new_directory(tmp_path / "n"), range(64)))
    assert len(set(made)) == 64


def test_status(tmp_path: Path) -> None:
    with start(tmp_path / "a") as run:
        assert Run.open(tmp_path / "a").info["status"] == "running"
        run.finish({"test/ev": 0.9})
    info = Run.open(tmp_path / "a").info
    assert info["status"] == "finished"
    assert info["peak_mb"] > 0
    assert Run.open(tmp_path / "a").metrics == {"test/ev": 0.9}
    with pytest.raises(RuntimeError), start(tmp_path / "b"):
        raise RuntimeError("no")
    assert Run.open(tmp_path / "b").info["status"] == "failed"
    assert Run.open(tmp_path / "b").info["error"] == "RuntimeError: no"
    with pytest.raises(KeyboardInterrupt), start(tmp_path / "c"):
        raise KeyboardInterrupt
    assert Run.open(tmp_path / "c").info["status"] == "interrupted"


def test_a_continued_run_adds_up_its_time_and_keeps_its_birthday(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), start(tmp_path):
        raise KeyboardInterrupt
    before = Run.open(tmp_path).info
    (tmp_path / "run.json").write_text(json.dumps(before | {"wall_s": 100.0, "created": "then"}))
    with start(tmp_path) as run:
        run.finish({})
    after = Run.open(tmp_path).info
    assert after["wall_s"] >= 100
    assert after["created"] == "then"
    assert after["resumed"] == 1


def test_found_by_recipe(tmp_path: Path) -> None:
    with start(tmp_path / "runs/n/1", "one") as run:
        run.finish({})
    with pytest.raises(KeyboardInterrupt), start(tmp_path / "runs/n/2", "one"):
        raise KeyboardInterrupt
    with start(tmp_path / "sweeps/s/1/000", "two") as run:
        run.finish({})
    assert len(list(runs(tmp_path))) == 3
    found = find(tmp_path, "one", finished=True)
    assert found is not None
    assert found.path.name == "1"
    begun = find(tmp_path, "one", finished=False)
    assert begun is not None
    assert begun.path.name == "2"
    assert find(tmp_path, "three", finished=True) is None
    assert find(tmp_path, "two", finished=True) is not None


def test_a_run_that_another_process_works_on_is_left_to_it(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = start(tmp_path / "runs/n/1", "one")
    run.note(pid=other.pid)
    assert find(tmp_path, "one", finished=False) is None
    other.kill()
    other.wait()
    found = find(tmp_path, "one", finished=False)
    assert found is not None
    assert found.path == run.path


def test_net_round_trip_and_clear_errors(tmp_path: Path) -> None:
    spec = {"_target_": "saelab.nets.MLP", "n_out": 10, "hidden_sizes": [8]}
    net = MLP(n_out=10, hidden_sizes=(8,))
    save_module(tmp_path, "net", spec, net)
    loaded = load_net(tmp_path)
    assert all((a == b).all() for a, b in zip(loaded.parameters(), net.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"holds no SAE: it has no cfg.json"):
        load_sae(tmp_path)
    with pytest.raises(ValueError, match="is not a run"):
        Run.open(tmp_path / "nowhere")


def test_one_call_from_the_package() -> None:
    import saelab

    assert saelab.load_sae is load_sae
    with pytest.raises(AttributeError, match="has no attribute 'load_sea'"):
        _ = saelab.load_sea
