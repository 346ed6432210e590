"""`export` and `import`: what they leave, what they say, and mistakes in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from programs import run
from saelab.run import load_sae, save_module
from saelab.sae import TopK


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A directory as a run leaves it, as far as export reads it."""
    torch.manual_seed(0)
    spec = {"d_in": 6, "d_sae": 20, "k": 4}
    sae = TopK(**spec)
    sae.init_from_(30 * torch.randn(500, 6) + 50)
    path = tmp_path / "run"
    path.mkdir()
    save_module(path, "sae", {"_target_": "saelab.sae.TopK", **spec}, sae)
    (path / "run.json").write_text(json.dumps({"store": {"site": "net.3"}}))
    return path


@pytest.mark.parametrize("format_", ["saelens", "dictionary_learning", "sparsify", "overcomplete"])
def test_there_and_back(trained: Path, tmp_path: Path, format_: str) -> None:
    done = run("export", f"run={trained}", f"format={format_}", logs=tmp_path)
    out = trained / "export" / format_
    assert "read back, it is the same: max difference" in done.stdout
    assert "with 4.0 codes each" in done.stdout
    assert "load   " in done.stdout
    assert "net.3" in "".join(file.read_text() for file in out.glob("*.json")) or format_ == "sparsify"
    done = run("import", f"path={out}", f"format={format_}", f"out={tmp_path / 'back'}", logs=tmp_path)
    assert "it is the same: max difference" in done.stdout
    assert "a TopK of 20 latents" in done.stdout
    x = 30 * torch.randn(100, 6) + 50
    torch.testing.assert_close(load_sae(tmp_path / "back")(x), load_sae(trained)(x), rtol=1e-5, atol=1e-3)
    facts = json.loads((tmp_path / "back" / "import.json").read_text())
    assert facts["format"] == format_
    assert facts["relative"] < 1e-6


def test_without_out_an_import_gets_a_directory_of_its_own(trained: Path, tmp_path: Path) -> None:
    run("export", f"run={trained}", "format=saelens", f"out={tmp_path / 'theirs'}", logs=tmp_path)
    for _ in range(2):
        run("import", f"path={tmp_path / 'theirs'}", "format=saelens", logs=tmp_path / "logs")
    assert len(list((tmp_path / "logs" / "imported").iterdir())) == 2


@pytest.mark.parametrize(
    ("command", "args", "says"),
    [
        ("export", ["run={run}", "format=saelense"], "Did you mean 'saelens'?"),
        ("export", ["run={run}"], "'format' is missing"),
        ("export", ["format=saelens"], "'run' is missing"),
        ("export", ["run={run}/nowhere", "format=saelens"], "holds no SAE"),
        ("export", ["run={run}", "format=sparsify", "out={run}"], "is not an empty folder"),
        ("export", ["run={run}", "format=saelens", "output=x"], "Did you mean 'out'?"),
        ("import", ["path={run}/nowhere", "format=saelens"], "nowhere/cfg.json does not exist"),
        ("import", ["path={run}", "format=dictionary_learning"], "the folder holds cfg.json"),
        ("import", ["path={run}", "format=sparsify"], "is not what sparsify writes"),
        ("import", ["path={run}", "format=npz"], "format=npz is unknown"),
    ],
)
def test_mistakes(trained: Path, tmp_path: Path, command: str, args: list[str], says: str) -> None:
    before = sorted(trained.iterdir())
    done = run(command, *(arg.format(run=trained) for arg in args), logs=tmp_path / "logs", code=2)
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(trained.iterdir()) == before
    assert not list((tmp_path / "logs").glob("imported/*"))


@pytest.mark.parametrize("command", ["export", "import"])
def test_help(command: str, tmp_path: Path) -> None:
    done = run(command, "--help", logs=tmp_path)
    assert f"python src/{command}.py" in done.stdout
    assert "overcomplete" in done.stdout
