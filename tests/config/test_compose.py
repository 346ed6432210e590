"""Every config that ships composes and holds against the code it names."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from saelab.config import ConfigError, compose, jobs, options
from saelab.config.compose import of_each_job
from saelab.config.help import help_text

CONFIGS = Path(__file__).parents[2] / "configs"


def names(group: str) -> list[str]:
    return sorted(f.stem for f in (CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize("name", names("experiment"))
def test_experiment(name: str) -> None:
    assert compose("train", [f"experiment={name}"]).name == name
    compose("extract", [f"experiment={name}"])


@pytest.mark.parametrize("name", names("sweep"))
def test_every_job_of_a_sweep(name: str) -> None:
    todo = jobs("train", [f"sweep={name}"])
    assert len(todo) > 1
    assert len({tuple(job) for job in todo}) == len(todo)
    for job in todo[:: max(1, len(todo) // 3)]:
        assert compose("train", job).name == name


def test_a_setting_that_only_the_models_of_a_sweep_have() -> None:
    """Before a sweep chooses, the experiment's model stands there, which is a TopK and has no penalty."""
    asked = ["sweep=variants", "model=relu,gated", "seed=0", "model.sae.l1=2", "name=a.b"]
    with pytest.raises(ConfigError, match=r"Unknown key 'model\.sae\.l1'"):
        jobs("train", asked)
    todo = jobs("train", of_each_job(asked))
    assert [compose("train", job).model.sae.l1 for job in todo] == [2, 2]
    assert of_each_job(["model.sae.k=1,2", "hydra.sweep.dir=x", "~model.sae.k", "seed=1"]) == [
        "model.sae.k=1,2",
        "hydra.sweep.dir=x",
        "~model.sae.k",
        "seed=1",
    ]


TUNED = sorted((CONFIGS / "tuned").glob("*/*.yaml"))


@pytest.mark.parametrize("file", TUNED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_what_a_model_needs_in_an_experiment(file: Path) -> None:
    """It beats the experiment and the model, gives way to the command line, and goes with `~tuned`."""
    tuned = flat(yaml.safe_load(file.read_text()))
    assert tuned and file.parent.name in names("experiment") and file.stem in names("model")
    chosen = [f"experiment={file.parent.name}", f"model={file.stem}"]
    given, without = compose("train", chosen), compose("train", [*chosen, "~tuned"])
    for key, value in tuned.items():
        assert OmegaConf.select(given, key) == value != OmegaConf.select(without, key), key
    key = next(iter(tuned))
    was = OmegaConf.select(without, key)
    assert OmegaConf.select(compose("train", [*chosen, f"{key}={was}"]), key) == was


def flat(node: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Dotted keys and their values."""
    pairs = [(f"{before}{key}", value) for key, value in node.items()]
    return {
        at: leaf
        for key, value in pairs
        for at, leaf in (flat(value, f"{key}.") if isinstance(value, dict) else {key: value}).items()
    }


@pytest.mark.parametrize(
    ("group", "name"), [(g, n) for g in ("model", "base", "trainer", "logger", "debug", "callbacks") for n in names(g)]
)
def test_choice(group: str, name: str) -> None:
    experiment = "mnist_mlp" if group == "model" else "quickstart"
    compose("train", [f"experiment={experiment}", f"{group}={name}"])


@pytest.mark.parametrize("name", [n for n in names("model") if "\nsae:" in (CONFIGS / f"model/{n}.yaml").read_text()])
def test_quickstart_takes_every_variant(name: str) -> None:
    assert compose("train", [f"model={name}"]).model.sae.d_sae == 512


@pytest.mark.parametrize("name", names("data"))
def test_data(name: str) -> None:
    needed = ["data.path=x"] if "path: ???" in (CONFIGS / f"data/{name}.yaml").read_text() else []
    compose("train", [f"data={name}", *needed])


@pytest.mark.parametrize("group", sorted(p.name for p in CONFIGS.iterdir() if p.is_dir()))
def test_every_choice_has_its_line_for_help(group: str) -> None:
    for name, line in options(group).items():
        assert 3 < len(line) < 120, (group, name, line)


@pytest.mark.parametrize("command", ["train", "extract", "eval", "report"])
def test_help_lists_what_there_is(command: str) -> None:
    text = help_text(command, "What it does.")
    assert text.startswith("What it does.")
    if command == "train":
        for group in ("experiment", "sweep", "model", "data"):
            for name in names(group):
                assert f"\n  {name} " in text, name


def test_sweeps_ask_what_the_reference_asked() -> None:
    relu = [dict(o.split("=") for o in job) for job in jobs("train", ["sweep=relu_l1"])]
    penalties = sorted({float(job["model.sae.l1"]) for job in relu})
    assert len(relu) == 40
    assert (penalties[0], penalties[-1]) == (1e-5, 1.0)
    ratios = [b / a for a, b in pairwise(penalties)]
    assert max(ratios) / min(ratios) < 1.01
    ks = [int(dict(o.split("=") for o in job)["model.sae.k"]) for job in jobs("train", ["sweep=topk_k"])]
    assert ks == [int(r * 512) for r in (0.02, 0.05, 0.1, 0.2, 0.5, 0.75, 0.95)]


def test_base_experiment_and_base_group_are_the_same_run() -> None:
    """So that a network trained by `experiment=mnist_mlp` is found by `experiment=mnist_topk`."""
    from saelab.commands.feed import base_config
    from saelab.commands.recipe import base_recipe

    for net in ("mlp", "convnet", "vit", "mnist_cnn"):
        alone = compose("train", [f"experiment=mnist_{net.removeprefix('mnist_')}"])
        within = compose("train", ["experiment=mnist_topk", f"base={net}"])
        assert base_recipe(alone) == base_recipe(base_config(within))


def test_yaml_files_have_no_tabs_and_parse() -> None:
    for file in CONFIGS.rglob("*.yaml"):
        assert "\t" not in file.read_text()
        yaml.safe_load(file.read_text())
