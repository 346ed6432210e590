"""A mistake in a config is one line that names the key and the fix; nothing is built, exit status 2."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from programs import CHECKOUT, run
from saelab.config import ConfigError, check, compose
from saelab.config.check import fits

MISTAKES = {
    "wrong key on the command line": (["model.sae.kk=3"], "Unknown key 'model.sae.kk'.*Did you mean 'k'"),
    "added wrong key": (["+model.optimizer.lrr=1"], "Unknown key 'model.optimizer.lrr': Adam takes.*Did you mean 'lr'"),
    "wrong key at the root": (["seeed=1"], "Unknown key 'seeed'.*Did you mean 'seed'"),
    "added wrong key at the root": (["+seeed=1"], "Unknown key 'seeed'.*Did you mean 'seed'"),
    "wrong group": (["modell=topk"], "Unknown key 'modell'.*Did you mean 'model'"),
    "wrong choice": (["model=topkk"], "no model 'topkk'. Did you mean 'topk'(.|\n)*relu +SAE"),
    "nothing for what is needed": (["model=null"], "model=null: model cannot be left out. Choose one of:.* topk,"),
    "nothing for a part": (["optimizer@model.optimizer=null"], "cannot be left out. Choose one of:.*adam"),
    "missing experiment": (["experiment=mnist_topkk"], "no experiment 'mnist_topkk'. Did you mean 'mnist_topk'"),
    "callback name": (["+callbacks.bst.save_last=true"], "'callbacks.bst' has no _target_.*'best'"),
    "logger name": (["+logger.tb.name=x"], "'logger.tb' has no _target_"),
    "wrong type: text for int": (["model.sae.k=three"], "'model.sae.k' is 'three', but TopK wants a whole number"),
    "wrong type: float for int": (["model.sae.k=3.5"], "'model.sae.k' is 3.5, but TopK wants a whole number"),
    "wrong type: bool for float": (["base.model.net.dropout=true"], "'base.model.net.dropout' is True"),
    "wrong type at the root": (["seed=abc"], "'seed'.*abc"),
    "wrong type in the store": (["store.sites=net.3"], "'store.sites'"),
    "wrong literal": (
        ["model.sae.normalize=foo"],
        "'model.sae.normalize' is 'foo', but TopK wants one of 'none'",
    ),
    "trainer key": (["trainer.max_epoch=3"], "Unknown key 'trainer.max_epoch'.*Did you mean 'max_epochs'"),
    "trainer type": (["trainer.max_epochs=ten"], "'trainer.max_epochs' is 'ten'"),
    "third party type": (["model.optimizer.lr=fast"], "'model.optimizer.lr' is 'fast', but Adam wants a number"),
    "target": (
        ["model._target_=saelab.modules.SAEModul"],
        "has no 'SAEModul'. Did you mean 'SAEModule'",
    ),
    "stale key after switching model": (
        ["experiment=mnist_topk", "model=relu", "+model.sae.k=3"],
        "Unknown key 'model.sae.k': ReLU takes",
    ),
    "unreadable override": (["a b"], "Cannot read the override 'a b'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_explained(mistake: str) -> None:
    overrides, says = MISTAKES[mistake]
    with pytest.raises(ConfigError) as error:
        compose("train", overrides)
    assert re.search(says, str(error.value)), str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nme: x\n", "Unknown key 'nme'.*Did you mean 'name'"),
        ("model:\n  sae:\n    kk: 3\n", "Unknown key 'model.sae.kk': TopK takes.*Did you mean 'k'"),
        ("store:\n  sits: [net.3]\n", "Unknown key 'store.sits'.*Did you mean 'sites'"),
        ("callbacks:\n  bst:\n    save_last: true\n", "'callbacks.bst' has no _target_"),
    ],
)
def test_mistake_in_an_experiment_file(text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CHECKOUT / "configs", tmp_path / "configs")
    head = "# @package _global_\n# Wrong\ndefaults:\n  - override /base: mlp\n  - override /store: default\n"
    (tmp_path / "configs/experiment/wrong.yaml").write_text(head + "  - override /model: topk\n" + text)
    monkeypatch.setattr(sys.modules["saelab.config.compose"], "configs_dir", lambda: tmp_path / "configs")
    with pytest.raises(ConfigError) as error:
        compose("train", ["experiment=wrong"])
    assert re.search(says, str(error.value)), str(error.value)


def test_seed_zero_is_a_seed() -> None:
    assert compose("train", ["seed=0"]).seed == 0


def test_the_program_says_it_in_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("train", "model.sae.kk=3", logs=tmp_path / "logs", code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("config error: Unknown key 'model.sae.kk'")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_missing_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'sae.d_sae' is missing: TopK needs it"):
        check({"sae": {"_target_": "saelab.sae.TopK", "k": 3}})


def test_what_the_store_fills_in_may_be_missing() -> None:
    check({"sae": {"_target_": "saelab.sae.TopK", "d_in": "???", "d_sae": 8}})


@pytest.mark.parametrize(
    ("value", "hint", "good"),
    [
        (1, float, True),
        (True, int, False),
        (1, bool, False),
        (None, int | None, True),
        ([1, 2], tuple[int, ...], True),
        ([1, "a"], tuple[int, ...], False),
        ([0.0, 1.0], tuple[float, float] | None, True),
        ([0.0], tuple[float, float], False),
        ({"a": 1.0}, dict[str, float], True),
        ({"a": "b"}, dict[str, float], False),
        ("x", Path, True),
        ({"_target_": "x.y"}, Path, True),
        ({"_target_": "x.y"}, int, False),
    ],
)
def test_fits(value: object, hint: object, good: bool) -> None:
    assert fits(value, hint) is good
