"""Hold every `_target_` of a config against the signature and type hints of what it names."""

from __future__ import annotations

import difflib
import importlib
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, Union

MISSING = "???"
HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
# Filled in by the command from what it finds (a store's width, a source's classes), so `???` is right in a YAML.
FILLED = {"d_in", "n_out", "input_shape", "dirpath", "monitor", "mode", "save_dir"}


class ConfigError(Exception):
    """A config that cannot be right; its text is all the user needs to see."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def check(cfg: Mapping[str, Any]) -> None:
    """Check a resolved config (plain dicts and lists).

    Raises: ConfigError for an unknown or missing key, a wrong type, a `_target_` that cannot be imported, and a child
    of `callbacks` or `logger` that has no `_target_`.
    """
    for group in ("callbacks", "logger"):
        for name, node in (cfg.get(group) or {}).items():
            if node is not None and (not isinstance(node, Mapping) or "_target_" not in node):
                known = [n for n, other in cfg[group].items() if isinstance(other, Mapping) and "_target_" in other]
                raise ConfigError(f"'{group}.{name}' has no _target_, so it names nothing.{nearest(name, known)}")
    _walk(cfg, "")


def _walk(node: Any, where: str) -> None:
    if isinstance(node, Mapping):
        if "_target_" in node:
            _check_target(node, where)
        for key, child in node.items():
            _walk(child, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list):
        for i, child in enumerate(node):
            _walk(child, f"{where}[{i}]")


def _check_target(node: Mapping[str, Any], where: str) -> None:
    target = locate(node["_target_"], where)
    parameters, hints, takes_any = signature(target)
    name = str(node["_target_"]).rsplit(".", 1)[-1]
    given = {k: v for k, v in node.items() if k not in HYDRA_KEYS}
    order = {key: place for place, key in enumerate(parameters)}  # a target's own keys first: others may follow them
    for key, value in sorted(given.items(), key=lambda pair: order.get(pair[0], -1)):
        if key not in parameters:
            if takes_any:
                continue
            raise ConfigError(
                f"Unknown key '{where}.{key}': {name} takes {', '.join(parameters)}.{nearest(key, parameters)}"
            )
        if value == MISSING and key not in FILLED:
            raise ConfigError(f"'{where}.{key}' is missing: give it a value, e.g. {where}.{key}=...")
        if value != MISSING and key in hints and not fits(value, hints[key]):
            raise ConfigError(f"'{where}.{key}' is {value!r}, but {name} wants {spell(hints[key])}.")
    if not node.get("_partial_", False) and "_args_" not in node:
        for key, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and key not in given and key not in FILLED:
                raise ConfigError(f"'{where}.{key}' is missing: {name} needs it.")


def locate(path: Any, where: str) -> Any:
    """The object a `_target_` names."""
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(f"'{where}._target_' is {path!r}: it must be a dotted path such as saelab.sae.TopK.")
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            if error.name and not path.startswith(error.name):
                raise ConfigError(f"'{where}' needs the package '{error.name}': pip install {error.name}") from error
            continue
        for i, part in enumerate(parts[cut:]):
            if not hasattr(found, part):
                owner = ".".join(parts[: cut + i])
                raise ConfigError(f"'{where}._target_': {owner} has no '{part}'.{nearest(part, dir(found))}")
            found = getattr(found, part)
        return found
    raise ConfigError(f"'{where}._target_' is {path!r}: no such module.")


def signature(target: Any) -> tuple[dict[str, inspect.Parameter], dict[str, Any], bool]:
    """Parameters by name, their type hints, and whether any keyword is taken."""
    parameters = dict(inspect.signature(target).parameters)
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # hints of a third party that only its own type checker can resolve
        hints = {}
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    rest = next((n for n, p in parameters.items() if p.kind is p.VAR_KEYWORD), None)
    if rest is not None and typing.get_origin(hints.get(rest)) is typing.Unpack:
        (shared,) = typing.get_args(hints.pop(rest))
        rest = None
        for name, hint in typing.get_type_hints(shared).items():
            default = inspect.Parameter.empty if name in shared.__required_keys__ else None
            named.setdefault(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default))
            hints.setdefault(name, hint)
    return named, hints, rest is not None


def fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value can be an argument with this type hint; hints that YAML cannot spell fit anything built."""
    if hint in (Any, inspect.Parameter.empty, object) or isinstance(hint, typing.TypeVar):
        return True
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return fits(value, args[0])
    if origin in (Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if hint is None or hint is type(None):
        return value is None
    if isinstance(value, Mapping) and "_target_" in value:
        return hint not in (bool, int, float, str)
    if hint is bool or hint is str:
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return _fits_container(value, hint, origin or hint, args)


def _fits_container(value: Any, hint: Any, kind: Any, args: tuple[Any, ...]) -> bool:
    if not inspect.isclass(kind):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (len(args) != 2 or all(fits(v, args[1]) for v in value.values()))
    if issubclass(kind, tuple):
        if not isinstance(value, (list, tuple)):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(fits(v, args[0]) for v in value)
        return not args or (len(value) == len(args) and all(map(fits, value, args)))
    if issubclass(kind, (list, set)) or (
        kind.__module__ == "collections.abc" and kind.__name__ in ("Sequence", "Iterable")
    ):
        return isinstance(value, (list, tuple)) and (not args or all(fits(v, args[0]) for v in value))
    # What is left is a class that YAML spells by _target_ (seen above), or that a text names.
    return isinstance(value, str) and issubclass(kind, (PurePath, Enum))


def spell(hint: Any) -> str:
    """A type hint as a user would write it."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}.get(
            hint.__name__, hint.__name__
        )
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if a is type(None) else spell(a) for a in typing.get_args(hint))
    return str(hint).replace("typing.", "").replace("collections.abc.", "")
