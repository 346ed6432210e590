"""Files that the libraries themselves read and write: what they make of ours, and we of theirs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity import Table, library
from torch import Tensor

from saelab import formats, sae
from saelab.run import load_sae, save_module

for name in ("sae_lens", "dictionary_learning", "sparsify", "overcomplete"):
    library(name)
import dictionary_learning.trainers as dl  # noqa: E402
import overcomplete.sae as oc  # noqa: E402
import sae_lens  # noqa: E402
import sparsify  # noqa: E402
from dictionary_learning.utils import load_dictionary  # noqa: E402

D_IN, D_SAE = 8, 24
NAMES = {"saelens": "sae-lens", "dictionary_learning": "dictionary-learning"}


def rows(n: int = 256) -> Tensor:
    """Far from centred, far from unit scale, float32."""
    return 30 * torch.randn(n, D_IN, generator=torch.Generator().manual_seed(3)) + 20 * torch.arange(D_IN).float()


def run_saelens(path: Path, x: Tensor) -> Tensor:
    return sae_lens.SAE.load_from_disk(path)(x)


def run_dictionary_learning(path: Path, x: Tensor) -> Tensor:
    return load_dictionary(str(path), device="cpu")[0](x)


def run_sparsify(path: Path, x: Tensor) -> Tensor:
    return sparsify.SparseCoder.load_from_disk(path)(x).sae_out


def run_overcomplete(path: Path, x: Tensor) -> Tensor:
    cfg = json.loads((path / "overcomplete.json").read_text())
    model = getattr(oc, cfg["class"])(**cfg["args"])
    model.load_state_dict(torch.load(path / "state_dict.pt"))
    centre = torch.tensor(cfg["centre"]) if cfg["centre"] is not None else torch.zeros(x.shape[1])
    return model.eval()(x - centre)[2] + centre


RUN: dict[str, Callable[[Path, Tensor], Tensor]] = {
    "saelens": run_saelens,
    "dictionary_learning": run_dictionary_learning,
    "sparsify": run_sparsify,
    "overcomplete": run_overcomplete,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "ReLU": {},
    "TopK": {"k": 4},
    "BatchTopK": {"k": 4},
    "JumpReLU": {"target_l0": 4},
    "MatchingPursuit": {"k": 4},
    "AbsTopK": {"k": 4},
    "Gated": {},
    "PAnneal": {},
    "Matryoshka": {"k": 4},
    "Lagrangian": {"target_l0": 4},
}


def ours(name: str, **settings: Any) -> sae.SAE:
    """An SAE of ours that has seen data, and whose weights have moved since."""
    torch.manual_seed(0)
    made: sae.SAE = getattr(sae, name)(d_in=D_IN, d_sae=D_SAE, **VARIANTS[name], **settings)
    x = rows(1024)
    made.init_from_(x, x[:, : made.d_out] * 3 + 5 if made.transcoder else None)
    with torch.no_grad():
        for key, parameter in made.named_parameters():
            parameter.add_(
                0.1 * torch.randn_like(parameter).abs() if key == "threshold" else 0.1 * torch.randn_like(parameter)
            )
    made.project_()
    return made.eval()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("format_", RUN)
def test_they_read_ours(table: Table, tmp_path: Path, format_: str, name: str) -> None:
    x, worst, held, refused = rows(), 0.0, [], []
    for normalize in ("none", "scale", "whiten", "layer_norm"):
        for kind, settings in {"": {}, " transcoder": {"d_out": D_IN}, " skip": {"d_out": D_IN, "skip": True}}.items():
            label = normalize + kind
            try:
                mine = ours(name, normalize=normalize, **settings)
            except ValueError:
                continue  # ours has no such thing
            try:
                formats.write(mine, format_, tmp_path / label)
            except formats.Unsupported:
                refused.append(label)
                continue
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                theirs, expected = RUN[format_](tmp_path / label, x), mine(x)
            worst = max(worst, float((theirs - expected).abs().max() / expected.abs().max()))
            held.append(label)
    where = (NAMES.get(format_, format_), f"export of {name}")
    left_out = f"refused: {', '.join(refused)}" if refused else ""
    if not held:
        table.said(where, "output", "refused")
        return
    assert worst < 3e-6, f"{where}: {worst}"
    table.said(
        where, "output, of the largest", f"{worst:.1e}", "; ".join([", ".join(held), left_out][: 1 + bool(refused)])
    )


def settings_of(format_: str) -> dict[str, Callable[[Path], tuple[Any, Any]]]:
    """What a library makes and saves, by name: a function that does it, and returns what x becomes there."""
    return {
        "saelens": saelens,
        "dictionary_learning": dictionary_learning,
        "sparsify": coders,
        "overcomplete": concepts,
    }[format_]()


def stirred(model: Any) -> Any:
    """Random weights, biases included, of a size that fits rows of length 50 to 200."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "thresholds" in name:
                parameter.copy_(torch.rand(parameter.shape))
            elif parameter.dim() == 1:
                parameter.copy_(10 * torch.randn(parameter.shape).abs())
            else:
                parameter.copy_(torch.randn(parameter.shape))
    return model


def saelens() -> dict[str, Any]:
    def training(kind: str, **settings: Any) -> Callable[[Path], tuple[Any, Any]]:
        def save(path: Path) -> tuple[Any, Any]:
            config = getattr(sae_lens, f"{kind}TrainingSAEConfig")(d_in=D_IN, d_sae=D_SAE, **settings)
            model = stirred(getattr(sae_lens, f"{kind}TrainingSAE")(config))
            if kind == "MatchingPursuit":
                model.W_dec.data = torch.nn.functional.normalize(model.W_dec.data, dim=1)
            if hasattr(model, "topk_threshold"):
                model.topk_threshold.fill_(60.0)
            model.save_inference_model(path)
            return sae_lens.SAE.load_from_disk(path), lambda y: y

        return save

    def transcoder(kind: str) -> Callable[[Path], tuple[Any, Any]]:
        def save(path: Path) -> tuple[Any, Any]:
            module = sae_lens.saes.transcoder
            cfg = getattr(module, f"{kind}Config")(d_in=D_IN, d_sae=D_SAE, d_out=5, apply_b_dec_to_input=False)
            model = stirred(getattr(module, kind)(cfg))
            model.save_model(path)
            return model, lambda y: y

        return save

    return {
        "standard": training("Standard"),
        "standard, layer_norm": training("Standard", normalize_activations="layer_norm"),
        "standard, b_dec not subtracted": training("Standard", apply_b_dec_to_input=False),
        "topk": training("TopK", k=4, rescale_acts_by_decoder_norm=False),
        "topk, rescaled": training("TopK", k=4),
        "batchtopk": training("BatchTopK", k=4),
        "jumprelu": training("JumpReLU"),
        "gated": training("Gated"),
        "abstopk": training("AbsTopK", k=4),
        "matryoshka_batchtopk": training("MatryoshkaBatchTopK", k=4, matryoshka_widths=[6, D_SAE]),
        "matching_pursuit": training("MatchingPursuit", decoder_init_norm=1.0, max_iterations=4),
        "transcoder": transcoder("Transcoder"),
        "skip_transcoder": transcoder("SkipTranscoder"),
        "jumprelu_transcoder": transcoder("JumpReLUTranscoder"),
        "jumprelu_skip_transcoder": transcoder("JumpReLUSkipTranscoder"),
    }


TRAINERS = {
    "StandardTrainerAprilUpdate": dl.standard,
    "MatryoshkaBatchTopKTrainer": dl.matryoshka_batch_top_k,
}


def dictionary_learning() -> dict[str, Any]:
    steps = {"steps": 100, "layer": 0, "lm_name": "none", "device": "cpu", "warmup_steps": 1}

    def trainer(kind: str, **settings: Any) -> Callable[[Path], tuple[Any, Any]]:
        def save(path: Path) -> tuple[Any, Any]:
            made = getattr(TRAINERS.get(kind, dl), kind)(activation_dim=D_IN, dict_size=D_SAE, **steps, **settings)
            stirred(made.ae)
            if isinstance(getattr(made.ae, "threshold", None), Tensor) and not made.ae.threshold.requires_grad:
                made.ae.threshold.fill_(60.0)
            path.mkdir()
            torch.save(made.ae.state_dict(), path / "ae.pt")
            (path / "config.json").write_text(json.dumps({"trainer": made.config, "buffer": {}}, default=str))
            return made.ae, lambda y: y

        return save

    return {
        "StandardTrainer": trainer("StandardTrainer", sparsity_warmup_steps=None),
        "TopKTrainer": trainer("TopKTrainer", k=4),
        "BatchTopKTrainer": trainer("BatchTopKTrainer", k=4),
        "StandardTrainerAprilUpdate": trainer("StandardTrainerAprilUpdate", sparsity_warmup_steps=None),
        "GatedSAETrainer": trainer("GatedSAETrainer", sparsity_warmup_steps=None),
        "PAnnealTrainer": trainer("PAnnealTrainer", sparsity_warmup_steps=None, anneal_start=10),
        "MatryoshkaBatchTopKTrainer": trainer("MatryoshkaBatchTopKTrainer", k=4, group_fractions=[0.25, 0.75]),
        "JumpReluTrainer": trainer("JumpReluTrainer", sparsity_warmup_steps=None),
    }


def coders() -> dict[str, Any]:
    def coder(**settings: Any) -> Callable[[Path], tuple[Any, Any]]:
        def save(path: Path) -> tuple[Any, Any]:
            model = stirred(sparsify.SparseCoder(D_IN, sparsify.SparseCoderConfig(num_latents=D_SAE, k=4, **settings)))
            model.save_to_disk(path)
            return model, lambda out: out.sae_out

        return save

    return {
        "SparseCoder": coder(),
        "SparseCoder, skip": coder(skip_connection=True),
        "SparseCoder, transcode": coder(transcode=True),
        "SparseCoder, transcode, skip": coder(transcode=True, skip_connection=True),
    }


def concepts() -> dict[str, Any]:
    def model(kind: str, *, points: bool = False, **args: Any) -> Callable[[Path], tuple[Any, Any]]:
        def save(path: Path) -> tuple[Any, Any]:
            given = {"points": torch.randn(30, D_IN)} if points else {}
            made = stirred(getattr(oc, kind)(D_IN, D_SAE, **given, **args)).train()
            made(rows())
            made.eval()
            path.mkdir()
            torch.save(made.state_dict(), path / "state_dict.pt")
            cfg: dict[str, Any] = {"class": kind, "args": args}
            if kind == "BatchTopKSAE":
                cfg["running_threshold"] = made.running_threshold.item()
            (path / "overcomplete.json").write_text(json.dumps(cfg))
            return made, lambda out: out[2]

        return save

    return {
        "SAE": model("SAE"),
        "SAE, max_l2": model("SAE", dictionary_params={"normalization": "max_l2", "use_multiplier": True}),
        "TopKSAE": model("TopKSAE", top_k=4),
        "BatchTopKSAE": model("BatchTopKSAE", top_k=4 * 256),
        "JumpSAE": model("JumpSAE"),
        "MpSAE": model("MpSAE", k=4),
        "RATopKSAE": model("RATopKSAE", points=True, top_k=4, delta=0.5),
        "RAJumpSAE": model("RAJumpSAE", points=True),
    }


@pytest.mark.parametrize("format_", RUN)
def test_we_read_theirs(table: Table, tmp_path: Path, format_: str) -> None:
    x = rows()
    for i, (name, save) in enumerate(settings_of(format_).items()):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, part = save(tmp_path / str(i))
            expected = part(model(x))
        spec, made = formats.rebuild(formats.read(format_, tmp_path / str(i)))
        (tmp_path / f"ours{i}").mkdir()
        save_module(tmp_path / f"ours{i}", "sae", spec, made)
        loaded = load_sae(tmp_path / f"ours{i}")
        with torch.no_grad():
            apart = float((loaded(x) - expected).abs().max() / expected.abs().max())
        assert apart < 3e-6, f"{format_} {name}: {apart}"
        where = (NAMES.get(format_, format_), f"import of {name}")
        table.said(where, "output, of the largest", f"{apart:.1e}", f"as {type(loaded).__name__}")
