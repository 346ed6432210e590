"""Sites: reading and replacing activations inside a network.

A site is a module's name as `named_modules()` spells it and means its output, or its input with `:in` behind it.
Where that is a tuple or a dict, the first tensor in it is meant.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Visit = Callable[[Tensor], Tensor | None]


@contextmanager
def capture(net: nn.Module, sites: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect a copy of the activation at each site in every forward pass; each pass clears the last one's.

    A copy, so that an in-place operation further on cannot change what was seen.
    """
    acts: dict[str, Tensor] = {}

    def keep(site: str) -> Visit:
        def visit(x: Tensor) -> None:
            if site in acts:
                raise ValueError(f"site {site!r} runs more than once in a forward pass; choose a module that runs once")
            acts[site] = x.clone()

        return visit

    with ExitStack() as stack:
        stack.enter_context(_removing(net.register_forward_pre_hook(lambda *_: acts.clear())))
        for site in sites:
            stack.enter_context(_removing(_hook(_find(net, site), site, keep(site))))
        yield acts


@contextmanager
def splice(net: nn.Module, site: str, replace: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put `replace(activation)` in the place of the activation at a site, in every forward pass."""

    def visit(x: Tensor) -> Tensor:
        new = replace(x)
        if new.shape != x.shape:
            raise ValueError(f"the replacement at site {site!r} has shape {[*new.shape]} where {[*x.shape]} was")
        return new

    with _removing(_hook(_find(net, site), site, visit)):
        yield


def list_sites(net: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Every site that can be captured, with its shape on `example`."""
    shapes: dict[str, tuple[int, ...]] = {}
    runs: dict[str, int] = {}

    def note(site: str) -> Visit:
        def visit(x: Tensor) -> None:
            shapes[site] = tuple(x.shape)
            runs[site] = runs.get(site, 0) + 1

        return visit

    with ExitStack() as stack, evaluating(net):
        for name, module in net.named_modules():
            if name:
                stack.enter_context(_removing(_hook(module, name, note(name), strict=False)))
                stack.enter_context(_removing(_hook(module, f"{name}:in", note(f"{name}:in"), strict=False)))
        net(example)
    return {site: shape for site, shape in shapes.items() if runs[site] == 1}


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """The network in eval mode and without gradients; afterwards each module is in the mode it was in."""
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _find(net: nn.Module, site: str) -> nn.Module:
    modules = {name: module for name, module in net.named_modules() if name}
    name = site.removesuffix(":in")
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=5, cutoff=0.3) or list(modules)[:10]
        raise ValueError(f"no site {site!r} in {type(net).__name__}; nearest: {', '.join(near)} (inputs: ':in')")
    return modules[name]


def _hook(module: nn.Module, site: str, visit: Visit, *, strict: bool = True) -> RemovableHandle:
    """Show `visit` the first tensor at a site; what it returns, if anything, takes that tensor's place."""

    def change(value: Any) -> Any:
        place = _first_tensor(value)
        if place is None and not strict:
            return value
        if place is None:
            raise ValueError(f"site {site!r} holds no tensor but {type(value).__name__}")
        new = visit(place[0])
        return value if new is None else place[1](new)

    def on_input(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return (change(args), kwargs) if _first_tensor(args) is not None else (args, change(kwargs))

    if site.endswith(":in"):
        return module.register_forward_pre_hook(on_input, with_kwargs=True)
    return module.register_forward_hook(lambda _module, _args, output: change(output))


def _first_tensor(value: Any) -> tuple[Tensor, Callable[[Tensor], Any]] | None:
    """The first tensor of a possibly nested output, and a function that rebuilds the output around another one."""
    if isinstance(value, Tensor):
        return value, lambda new: new
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, tuple | list) else ()
    for key, part in parts:
        if (found := _first_tensor(part)) is not None:
            tensor, put = found
            return tensor, lambda new, key=key, put=put: _replaced(value, key, put(new))
    return None


def _replaced(value: Any, key: Any, part: Any) -> Any:
    """A copy of a mapping, list or (named) tuple with one part changed."""
    if isinstance(value, tuple):
        changed = [*value[:key], part, *value[key + 1 :]]
        return type(value)(*changed) if hasattr(value, "_fields") else tuple(changed)
    changed = copy.copy(value)
    changed[key] = part
    return changed


@contextmanager
def _removing(handle: RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
