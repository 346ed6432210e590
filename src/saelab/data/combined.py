"""Sums of sources, with the ground truth of every part."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.components import check_components, check_weights, family_names, joint_shape, target_width
from saelab.data.images import STD, ImageSource, normalize_, one_hot
from saelab.data.pairing import Draw, pair
from saelab.data.source import Batch, Source

_TARGETS = ("int", "onehot", "multihot_separate", "multihot_shared")


class Combined(Source):
    """Pictures that are made of one picture of each component.

        sum:            pixels = w_1 c_1 + w_2 c_2 + ...    [b, 1, h, w]
        side_by_side:   pixels = [w_1 c_1 | w_2 c_2 | ...]  [b, 1, h, w_1 + w_2 + ...]
        x = (clip(pixels, *clip) - 0.1307) / 0.3081         clip: null leaves the sum as it is

    All happens in [0, 1], and normalisation comes last, so components must have `normalize=False`. A sum that is
    clipped is no sum: where parts are to be told apart again, `weights` that add up to 1 leave nothing to clip.

    weights: of components by name; those not named, and all if None, have 1.

    draw: `once`, in an epoch every item of the longest component comes exactly once, and the shorter ones are gone
    through again and again, in a fresh order and freshly augmented each time; `replacement`, each is drawn at random.
    Who meets whom changes in every epoch of `train` and never in the other splits.
    length: items in an epoch of `train`; None, as many as the longest component has. Other splits: always the latter.

    Splits: `train`, `val`, `test`, and `test_unseen` if a component has it (the others then show their `test`).
    Families: those of the components under their own names (`digit`, `tag`, `loop`); components whose family has the
    same name give it their own name instead. Batch.parts: `<component>_id` `[b]`, the item drawn, in the component's
    split; with `keep_parts` also `<component>`, its picture `[b, 1, h, w]` in [0, 1] as it went into the sum.

    target: `int` `[b]` or `onehot` `[b, c]`, the class in the family `target_family`; `multihot_separate`, the one-hots
    of all families with classes beside each other; `multihot_shared`, their union in one space of slots, which does not
    tell which component a class came from. Loops have no class and add nothing.

    Errors: ValueError for no components, a component that is normalised, on another device, of another size or with
    the kind and seed of another (their random numbers would be the same), weights of no component or not above 0, clip
    that is not [low, high], length < 1, a component named like another's id, an unknown layout, draw, target or
    target_family, and targets without classes.
    """

    def __init__(
        self,
        *,
        components: dict[str, ImageSource],
        layout: Literal["sum", "side_by_side"] = "sum",
        draw: Draw = "once",
        length: int | None = None,
        weights: dict[str, float] | None = None,
        clip: tuple[float, float] | None = (0.0, 1.0),
        normalize: bool = True,
        target: Literal["int", "onehot", "multihot_separate", "multihot_shared"] = "multihot_separate",
        target_family: str | None = None,
        keep_parts: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        checks.one_of("layout", layout, ("sum", "side_by_side"))
        checks.one_of("draw", draw, ("once", "replacement"))
        checks.one_of("target", target, _TARGETS)
        if length is not None:
            checks.at_least("length", length, 1)
        self.device = checks.usable_device(device)
        self.components = dict(components)
        check_components(self.components, self.device)
        self.layout = layout
        self.draw: Draw = draw
        self.length = length
        self.weights = check_weights(weights or {}, self.components)
        self.clip = None if clip is None else checks.interval("clip", clip)
        self.normalize, self.keep_parts, self.seed = normalize, keep_parts, seed
        self.input_shape = joint_shape(self.components, layout)
        unseen = any("test_unseen" in source.splits for source in self.components.values())
        self.splits = ("train", "val", "test", "test_unseen") if unseen else ("train", "val", "test")
        self._family_of = family_names(self.components)
        self.families = {
            f: self.components[name].families[self.components[name].family] for name, f in self._family_of.items()
        }
        self.target_kind, self.target_family = target, target_family
        self.n_out = target_width(target, target_family, self.families)
        self._pairs: dict[str, tuple[int, dict[str, tuple[Tensor, Tensor]]]] = {}

    def prepare_data(self) -> None:
        for source in self.components.values():
            source.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        for source in self.components.values():
            source.setup(stage)

    def size(self, split: str) -> int:
        self.check_split(split)
        if split == "train" and self.length is not None:
            return self.length
        return max(source.size(_own_split(source, split)) for source in self.components.values())

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> Batch:
        self.check_index(split, index)
        index = index.to(self.device)
        pictures, labels, parts = self._drawn(split, index, epoch)
        if self.keep_parts:
            parts |= {name: picture.clone() for name, picture in pictures.items()}
        return Batch(self._join_(list(pictures.values())), self._target(labels), index, labels, parts)

    def placed(self, split: str, index: Tensor, epoch: int = 0) -> dict[str, Tensor]:
        """What each component puts into x, in its place and unit: `[b, *input_shape]`, zero where others are.

        Their sum is x but for the constant of the normalisation, and for what is clipped.
        """
        self.check_index(split, index)
        pictures, _, _ = self._drawn(split, index.to(self.device), epoch)
        if self.normalize:
            pictures = {name: picture.mul_(1 / STD) for name, picture in pictures.items()}
        if self.layout == "sum":
            return pictures
        start, found = 0, {}
        for name, picture in pictures.items():
            found[name] = picture.new_zeros(len(picture), *self.input_shape)
            found[name][..., start : start + picture.shape[-1]] = picture
            start += picture.shape[-1]
        return found

    def _drawn(
        self, split: str, index: Tensor, epoch: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Weighted pictures by component, labels by family, and the items drawn."""
        pictures: dict[str, Tensor] = {}
        labels: dict[str, Tensor] = {}
        ids: dict[str, Tensor] = {}
        for name, (all_ids, own_epochs) in self._paired(split, epoch).items():
            source, drawn = self.components[name], all_ids[index]
            picture, labels[self._family_of[name]] = source.pixels(_own_split(source, split), drawn, own_epochs[index])
            pictures[name] = picture if self.weights[name] == 1 else picture.mul_(self.weights[name])
            ids[f"{name}_id"] = drawn
        return pictures, labels, ids

    def _join_(self, pictures: list[Tensor]) -> Tensor:
        """The pictures made one; the first may be overwritten."""
        if self.layout == "side_by_side":
            x = torch.cat(pictures, dim=-1)
        else:
            x = pictures[0]
            for picture in pictures[1:]:
                x.add_(picture)
        if self.clip is not None:
            x.clamp_(*self.clip)
        return normalize_(x) if self.normalize else x

    def _target(self, labels: dict[str, Tensor]) -> Tensor:
        if self.target_family is not None:
            classes = labels[self.target_family]
            return classes if self.target_kind == "int" else one_hot(classes, self.n_out)
        hot = [one_hot(labels[f], len(family.classes)) for f, family in self.families.items() if family.classes]
        if self.target_kind == "multihot_separate":
            return torch.cat(hot, dim=1)
        return torch.stack(hot).amax(0)

    def _paired(self, split: str, epoch: int) -> dict[str, tuple[Tensor, Tensor]]:
        """For each component, ids and epochs for all items of the split; the last epoch's are remembered."""
        epoch = epoch if split == "train" else 0
        if self._pairs.get(split, (None,))[0] != epoch:
            length = self.size(split)
            pairs = {}
            for name, source in self.components.items():
                stream, n = rng.key("combined", self.seed, split, name), source.size(_own_split(source, split))
                pairs[name] = pair(stream, length, n, self.draw, epoch, self.device)
            self._pairs[split] = (epoch, pairs)
        return self._pairs[split][1]


def _own_split(source: Source, split: str) -> str:
    """A component that has no unseen items shows those of its test split."""
    return split if split in source.splits else "test"
