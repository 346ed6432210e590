"""What the components of a sum must agree on, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch

from saelab.data import checks
from saelab.data.images import ImageSource
from saelab.data.source import Family


def check_components(components: Mapping[str, ImageSource], device: torch.device) -> None:
    """Raises ValueError, with the fix, unless the components can be summed on `device`."""
    if not components:
        raise ValueError("components is empty; name at least one, e.g. components={'digit': MNIST(normalize=False)}")
    for name, source in components.items():
        if not isinstance(source, ImageSource):
            raise ValueError(
                f"component {name!r} is a {type(source).__name__}; only single picture sources can be summed"
            )
        if source.normalize:
            raise ValueError(
                f"component {name!r} is normalised, but pixels are summed in [0, 1]; set its normalize=false"
            )
        if source.device != device:
            raise ValueError(f"component {name!r} is on {source.device}, the sum on {device}; give both one device")
        if name.removesuffix("_id") != name and name.removesuffix("_id") in components:
            raise ValueError(f"component {name!r} is named like the items of {name.removesuffix('_id')!r}; rename it")
    kinds: dict[tuple[str, int], str] = {}
    for name, source in components.items():
        other = kinds.setdefault((type(source).__name__, source.seed), name)
        if other != name:
            raise ValueError(
                f"components {other!r} and {name!r} are both {type(source).__name__} with seed={source.seed}, so their "
                "random numbers are the same; give one another seed"
            )


def check_weights(weights: Mapping[str, float], components: Mapping[str, ImageSource]) -> dict[str, float]:
    """The weight of every component, 1 unless given."""
    for name, weight in weights.items():
        if name not in components:
            raise ValueError(f"weights name {name!r}, but the components are {', '.join(components)}")
        checks.above(f"weights.{name}", weight, 0)
    return {name: float(weights.get(name, 1)) for name in components}


def joint_shape(components: Mapping[str, ImageSource], layout: str) -> tuple[int, ...]:
    """`[1, h, w]` of a sum, or of pictures side by side."""
    shapes = {name: source.input_shape for name, source in components.items()}
    compared = {shape if layout == "sum" else shape[:-1] for shape in shapes.values()}
    if len(compared) > 1:
        raise ValueError(f"components have the shapes {shapes}, which layout={layout} cannot join; make them alike")
    first = next(iter(shapes.values()))
    return first if layout == "sum" else (*first[:-1], sum(shape[-1] for shape in shapes.values()))


def family_names(components: Mapping[str, ImageSource]) -> dict[str, str]:
    """Component name -> family name."""
    count = Counter(source.family for source in components.values())
    names = {name: source.family if count[source.family] == 1 else name for name, source in components.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"label families {names} are not distinct; rename the component that bears another's family")
    return names


def target_width(target: str, target_family: str | None, families: Mapping[str, Family]) -> int:
    """The width a classifier needs for a target of `Combined`."""
    widths = {name: len(family.classes) for name, family in families.items() if family.classes}
    if not widths:
        raise ValueError(f"target={target} needs classes, and none of the components has any; add mnist or a tag")
    if target in ("int", "onehot"):
        if target_family not in widths:
            raise ValueError(f"target_family={target_family!r}, but target={target} needs one of {', '.join(widths)}")
        return widths[target_family]
    if target_family is not None:
        raise ValueError(f"target_family={target_family!r} has no meaning with target={target}; set it to null")
    return sum(widths.values()) if target == "multihot_separate" else max(widths.values())
