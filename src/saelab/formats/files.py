"""JSON and tensors on disk, with errors that name the file."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from saelab.formats.plain import Unsupported


def save_json(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n")


def load_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise Unsupported(f"{path} does not exist: {_instead(path)}") from error
    except json.JSONDecodeError as error:
        raise Unsupported(f"{path} is not JSON: {error}.") from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor | None]) -> None:
    """float32, contiguous, on the CPU; `.pt` as torch saves a state dict, else safetensors."""
    plain = {name: _portable(tensor) for name, tensor in tensors.items() if tensor is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.tmp{os.getpid()}")
    torch.save(plain, partial) if path.suffix == ".pt" else save_file(plain, partial)
    os.replace(partial, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Floating-point tensors as float64, others as they are."""
    if not path.exists():
        raise Unsupported(f"{path} does not exist: {_instead(path)}")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True) if path.suffix == ".pt" else load_file(path)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise Unsupported(f"{path} cannot be read: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _portable(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).clone().contiguous()


def _instead(path: Path) -> str:
    found = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    return f"the folder holds {', '.join(found)}." if found else "there is no such folder, or it is empty."
