"""The YAMLs of configs/data say what the constructors say."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.utils import instantiate

import saelab.data

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "data"
NAMES = ["mnist", "noise_tags", "lowbit_tag", "lowfreq_tag", "loops", "toy", "combined", "combined_loops"]
# What a YAML spells in its own way, or chooses for its composition
FREE = {"components", "spectrum_from", "target", "target_family"}


def plain(value):
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_spelt_out_with_its_default(name):
    config = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    config.pop("defaults", None)
    package, cls = config.pop("_target_").rsplit(".", 1)
    assert package == "saelab.data"
    parameters = inspect.signature(getattr(saelab.data, cls)).parameters
    assert config.keys() == parameters.keys()
    for key in config.keys() - (FREE if name.startswith("combined") else FREE - {"target"}):
        assert plain(parameters[key].default) == config[key], key


@pytest.mark.parametrize("name", [*NAMES, "combined_lowfreq", "combined_lowbit"])
def test_the_first_line_describes_the_file(name):
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) < 100


@pytest.fixture
def compose(tmp_path):
    """Composes a root that has nothing but `data`."""
    (tmp_path / "data").symlink_to(FOLDER)
    (tmp_path / "root.yaml").write_text("defaults:\n  - data: mnist\n  - _self_\n")
    with initialize_config_dir(str(tmp_path), version_base=None):
        yield lambda *overrides: hydra_compose("root", list(overrides)).data


@pytest.mark.parametrize("name", [*NAMES, "combined_lowfreq", "combined_lowbit"])
def test_every_file_makes_a_source_that_serves(compose, name):
    source = instantiate(compose(f"data={name}"))
    batch = source.batch("train", torch.arange(4))
    assert batch.x.shape == (4, *source.input_shape)
    assert batch.labels.keys() == source.families.keys()


def test_components_can_be_swapped_and_follow_the_sum(compose):
    data = compose("data=combined", "data@data.components.tag=lowbit_tag", "data.components.tag.p_on=0.03")
    assert type(instantiate(data).components["tag"]).__name__ == "LowBitTag"
    data = compose("data=combined_lowfreq", "data.components.digit.dir=/digits", "data.device=cuda")
    assert data.components.tag.spectrum_from.dir == "/digits"
    assert {part.device for part in data.components.values()} == {"cuda"}
