"""Written and read again, an SAE is the same function; what cannot be held is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from files import D_IN, D_SAE, SETTINGS, ours, rows, there_and_back
from safetensors.torch import load_file

from saelab import formats, sae
from saelab.run import load_sae, save_module

HELD = {
    "saelens": {*SETTINGS},
    "dictionary_learning": {*SETTINGS} - {"MatchingPursuit", "AbsTopK"},
    "sparsify": {"TopK"},
    "overcomplete": {*SETTINGS} - {"Gated", "AbsTopK"},
}
PAIRS = [(name, format_) for format_, names in HELD.items() for name in SETTINGS if name in names]
every_pair = pytest.mark.parametrize(("name", "format_"), PAIRS)


def assert_same(a: sae.SAE, b: sae.SAE, x: torch.Tensor, *, limit: float = 2e-6) -> None:
    found = formats.agree(a, b, x)
    assert found.l0 > 0.5
    assert found.relative < limit, found
    assert found.moved == 0, found


@pytest.mark.parametrize("normalize", ["none", "scale", "whiten"])
@every_pair
def test_what_is_read_back_is_the_same_function(name: str, format_: str, normalize: Any, tmp_path: Path) -> None:
    if (name, normalize) == ("MatchingPursuit", "whiten"):
        pytest.skip("refused, see below")
    made = ours(name, normalize=normalize)
    back = there_and_back(made, format_, tmp_path / "sae")
    assert back.norm.kind == "none"
    assert_same(made, back, rows())


def test_an_archetypal_decoder_is_a_decoder(tmp_path: Path) -> None:
    made = ours("TopK", decoder="archetypal", points=20)
    for format_ in formats.FORMATS:
        assert_same(made, there_and_back(made, format_, tmp_path / format_), rows())


@pytest.mark.parametrize("name", SETTINGS)
def test_layer_norm_goes_to_saelens_alone(name: str, tmp_path: Path) -> None:
    made = ours(name, normalize="layer_norm")
    back = there_and_back(made, "saelens", tmp_path / "sae")
    assert back.norm.kind == "layer_norm"
    assert_same(made, back, rows())
    for format_ in set(HELD) - {"saelens"}:
        with pytest.raises(formats.Unsupported, match="format=saelens can"):
            formats.write(made, format_, tmp_path / format_)


@pytest.mark.parametrize("normalize", ["none", "scale", "whiten"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("name", "d_out", "format_"),
    [
        ("ReLU", 9, "saelens"),
        ("JumpReLU", 9, "saelens"),
        ("BatchTopK", 9, "saelens"),
        ("TopK", D_IN, "sparsify"),
        ("TopK", D_IN, "dictionary_learning"),
        ("JumpReLU", D_IN, "dictionary_learning"),
    ],
)
def test_transcoders(name: str, d_out: int, format_: str, skip: bool, normalize: Any, tmp_path: Path) -> None:
    made = ours(name, d_out=d_out, skip=skip, normalize=normalize)
    if skip and format_ == "dictionary_learning":
        with pytest.raises(formats.Unsupported, match="no skip connection"):
            formats.write(made, format_, tmp_path / "sae")
        return
    assert_same(made, there_and_back(made, format_, tmp_path / "sae"), rows())


@every_pair
def test_what_is_imported_can_be_saved_and_loaded(name: str, format_: str, tmp_path: Path) -> None:
    formats.write(ours(name), format_, tmp_path / "theirs")
    spec, imported = formats.rebuild(formats.read(format_, tmp_path / "theirs"))
    (tmp_path / "ours").mkdir()
    save_module(tmp_path / "ours", "sae", spec, imported)
    assert torch.equal(load_sae(tmp_path / "ours")(rows()), imported(rows()))


@every_pair
def test_what_is_imported_can_be_trained(name: str, format_: str, tmp_path: Path) -> None:
    back = there_and_back(ours(name), format_, tmp_path / "sae").train()
    x = rows()
    before = back(x).detach()
    back.project_()
    torch.testing.assert_close(back.eval()(x), before if name != "BatchTopK" else back(x), rtol=1e-3, atol=1e-2)
    back.train()
    step = back.step(x)
    torch.stack(list(back.losses(step).values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in back.parameters())


def test_the_rows_that_are_compared_make_latents_fire(tmp_path: Path) -> None:
    made = ours("JumpReLU")
    back = there_and_back(made, "saelens", tmp_path / "sae")
    with torch.no_grad():
        back.b_dec.zero_()
        back.b_enc.fill_(-300.0)  # nothing fires near zero
    for each in (made, back):
        assert (each.encode(formats.rows_like(each)) != 0).any(1).float().mean() > 0.5


def test_a_function_that_differs_is_found() -> None:
    made, other = ours("TopK"), ours("TopK")
    with torch.no_grad():
        other.W_dec[3] += 0.1
    assert formats.agree(made, made, rows()).close
    assert not formats.agree(made, other, rows()).close


def test_weights_are_left_alone_and_biases_are_in_the_users_units(tmp_path: Path) -> None:
    made = ours("BatchTopK")
    p = formats.fold(made)
    scale = made.norm.scale.item()
    torch.testing.assert_close(p.W_enc.float(), made.W_enc.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(p.W_dec.float(), made.W_dec.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(p.b_dec.float(), made.b_dec.detach() / scale)
    assert p.threshold is not None
    torch.testing.assert_close(p.threshold.float(), (made.threshold / scale).expand(len(p.threshold)))
    x = rows()
    f, _ = p.evaluate(x)
    torch.testing.assert_close(f.float(), made.encode(x) / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "format_", "says"),
    [
        ("ReLU", {}, "sparsify", "TopK codes only.*format=saelens or dictionary_learning or overcomplete can"),
        ("TopK", {"d_out": 9}, "saelens", "transcoders are ReLU or JumpReLU.*No other format can"),
        ("TopK", {"d_out": 9}, "sparsify", "d_in=6 and d_out=9"),
        ("TopK", {"d_out": D_IN}, "overcomplete", "no transcoders.*format=dictionary_learning or sparsify can"),
        ("MatchingPursuit", {}, "dictionary_learning", "format=saelens or overcomplete can"),
        ("MatchingPursuit", {"normalize": "whiten"}, "saelens", "whiten"),
        ("MatchingPursuit", {"repeats": "exclude"}, "saelens", "repeats=exclude"),
        ("MatchingPursuit", {"signed": True}, "overcomplete", "signed=True"),
        ("MatchingPursuit", {"repeats": "stop"}, "overcomplete", "always takes k steps.*format=saelens can"),
    ],
)
def test_what_cannot_be_held_is_refused(
    name: str, settings: dict[str, Any], format_: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(formats.Unsupported, match=says):
        formats.write(ours(name, **settings), format_, tmp_path / "sae")
    assert not (tmp_path / "sae").exists()


@pytest.mark.parametrize("variant", ["OMP", "PCA", "Identity", "DenSaE", "LISTA", "DenseVAESparse", "VAE"])
def test_variants_that_no_format_has_are_refused(variant: str, tmp_path: Path) -> None:
    made = getattr(sae, variant)(d_in=D_IN, d_sae=64)
    with pytest.raises(formats.Unsupported, match=f"no format holds the codes of {variant}"):
        formats.write(made, "saelens", tmp_path / "sae")


@pytest.mark.parametrize("format_", ["saelens", "dictionary_learning", "overcomplete", "sparsify"])
def test_logits_and_layers_before_the_encoder_are_refused(format_: str, tmp_path: Path) -> None:
    logits = sae.TopK(d_in=D_IN, d_sae=64, k=4, normalize="none", likelihood="bernoulli")
    with pytest.raises(formats.Unsupported, match="likelihood=bernoulli: no format"):
        formats.write(logits, format_, tmp_path / "sae")
    with pytest.raises(formats.Unsupported, match=r"encoder_hidden=\[8\]: no format"):
        formats.write(sae.TopK(d_in=D_IN, d_sae=64, k=4, encoder_hidden=[8]), format_, tmp_path / "sae")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text("mine")
    with pytest.raises(formats.Unsupported, match="is not an empty folder"):
        formats.write(ours("TopK"), "sparsify", tmp_path)
    assert (tmp_path / "cfg.json").read_text() == "mine"


@pytest.mark.parametrize("format_", formats.FORMATS)
def test_what_is_missing_or_damaged_is_named(format_: str, tmp_path: Path) -> None:
    module = formats.FORMATS[format_]
    with pytest.raises(formats.Unsupported, match=str(tmp_path / "nowhere")):
        formats.read(format_, tmp_path / "nowhere")
    formats.write(ours("TopK"), format_, tmp_path / "sae")
    weights = tmp_path / "sae" / module.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(formats.Unsupported, match=module.WEIGHTS):
        formats.read(format_, tmp_path / "sae")
    weights.unlink()
    with pytest.raises(formats.Unsupported, match="the folder holds"):
        formats.read(format_, tmp_path / "sae")
    (tmp_path / "sae" / module.CFG).write_text("{")
    with pytest.raises(formats.Unsupported, match=module.CFG):
        formats.read(format_, tmp_path / "sae")


@pytest.mark.parametrize("format_", ["saelens", "sparsify"])
def test_a_run_of_ours_is_not_taken_for_another_librarys(format_: str, tmp_path: Path) -> None:
    made = ours("TopK")
    save_module(tmp_path, "sae", {"_target_": "saelab.sae.TopK", "d_in": D_IN, "d_sae": 16, "k": 4}, made)
    with pytest.raises(formats.Unsupported, match=str(tmp_path)):
        formats.read(format_, tmp_path)
    assert json.loads((tmp_path / "cfg.json").read_text())["_target_"] == "saelab.sae.TopK"


def test_files_are_float32_with_the_keys_and_shapes_of_the_libraries(tmp_path: Path) -> None:
    for format_, expected in {
        "saelens": {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_enc": (D_SAE,), "b_dec": (D_IN,)},
        "sparsify": {
            "encoder.weight": (D_SAE, D_IN),
            "encoder.bias": (D_SAE,),
            "W_dec": (D_SAE, D_IN),
            "b_dec": (D_IN,),
        },
        "dictionary_learning": {
            "encoder.weight": (D_SAE, D_IN),
            "encoder.bias": (D_SAE,),
            "decoder.weight": (D_IN, D_SAE),
            "b_dec": (D_IN,),
            "k": (),
            "threshold": (),
        },
        "overcomplete": {
            "encoder.final_block.0.weight": (D_SAE, D_IN),
            "encoder.final_block.0.bias": (D_SAE,),
            "dictionary._weights": (D_SAE, D_IN),
            "dictionary.multiplier": (),
        },
    }.items():
        cfg, file = formats.write(ours("TopK"), format_, tmp_path / format_)
        tensors = torch.load(file, weights_only=True) if file.suffix == ".pt" else load_file(file)
        assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == expected
        assert all(t.dtype == torch.float32 for name, t in tensors.items() if name != "k")
        assert json.loads(cfg.read_text())
