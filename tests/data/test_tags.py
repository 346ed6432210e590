"""Noise and lowbit tags, and what all tags share."""

import functools
import math

import pytest
import torch

import saelab.data
from saelab.data import MNIST, LowBitTag, NoiseTags

DIGITS = MNIST()  # read once, for all the spectra
LowFreqTag = functools.partial(saelab.data.LowFreqTag, spectrum_from=DIGITS, magnitude_num_images=100)
ALL = [NoiseTags, LowBitTag, LowFreqTag]


def everything(source, split="val", epoch=0):
    return source.batch(split, torch.arange(source.size(split)), epoch)


@pytest.mark.parametrize("cls", ALL)
def test_items_are_class_major(cls):
    source = cls(images_per_class=3, classes=[4, 0, 9])
    assert source.size("train") == source.size("test_unseen") == 9
    assert everything(source).labels["tag"].tolist() == [4, 4, 4, 0, 0, 0, 9, 9, 9]
    assert everything(source).y.shape == (9, 10)
    assert everything(cls(images_per_class=3, target="int")).y.tolist() == [d for d in range(10) for _ in range(3)]


@pytest.mark.parametrize("cls", ALL)
def test_a_subset_and_a_longer_set_have_the_same_pictures(cls):
    few, many = cls(images_per_class=2, classes=[5]), cls(images_per_class=4)
    assert torch.equal(everything(few).x, many.batch("val", torch.tensor([20, 21])).x)


@pytest.mark.parametrize("cls", ALL)
def test_splits_share_pictures_but_the_unseen_are_new(cls):
    source = cls(images_per_class=5, augment=False)
    seen = everything(source, "test").x
    assert torch.equal(seen, everything(source, "val").x)
    assert torch.equal(seen, everything(source, "train", 7).x)
    unseen = everything(source, "test_unseen")
    assert torch.equal(unseen.y, everything(source, "test").y)
    distances = torch.cdist(seen.flatten(1), unseen.x.flatten(1))
    assert distances.min() > 1e-3
    assert len({bytes(x.numpy()) for x in torch.cat([seen, unseen.x])}) == 100
    assert not torch.equal(seen, everything(cls(images_per_class=5, seed=1)).x)


@pytest.mark.parametrize("cls", ALL)
def test_evaluation_is_augmented_on_request_only_and_once(cls):
    plain = everything(cls(images_per_class=5)).x
    source = cls(images_per_class=5, augment_eval=True)
    assert not torch.equal(everything(source).x, plain)
    assert torch.equal(everything(source, epoch=0).x, everything(source, epoch=3).x)
    assert not torch.equal(everything(source, "val").x, everything(source, "test").x)
    assert torch.equal(everything(cls(images_per_class=5, augment=False, augment_eval=True)).x, plain)


def test_the_same_seed_does_not_couple_two_kinds_of_tags():
    noise = NoiseTags(images_per_class=50, normalize=False)
    bits = LowBitTag(images_per_class=50, p_on=0.3, normalize=False)
    clouds = LowFreqTag(images_per_class=50, normalize=False)
    flat = [everything(source).x.flatten() for source in (noise, bits, clouds)]
    correlation = torch.corrcoef(torch.stack(flat)) - torch.eye(3)
    assert correlation.abs().max() < 0.01


def test_uniform_noise_statistics():
    x = everything(NoiseTags(normalize=False)).x
    assert x.shape == (2000, 1, 28, 28)
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 0.5) < 1e-3
    assert abs(x.std() - math.sqrt(1 / 12)) < 1e-3


def test_normal_noise_statistics():
    x = everything(NoiseTags(normalize=False, distribution="normal")).x
    assert x.min() == 0
    assert x.max() == 1
    assert abs(x.mean() - 0.5) < 1e-3
    assert abs(x.std() - 0.1977) < 1e-3  # 0.2, less what is cut off beyond 2.5 standard deviations


@pytest.mark.parametrize("p_on", [0.01, 0.03])
def test_lowbit_statistics(p_on):
    x = everything(LowBitTag(p_on=p_on, normalize=False)).x
    lit = (x > 0).flatten(1).sum(1).float()
    assert abs(lit.mean() - 784 * p_on) < 0.05 * 784 * p_on
    assert abs(lit.var() - 784 * p_on * (1 - p_on)) < 0.12 * 784 * p_on
    values = x[x > 0]
    assert values.min() >= 0.5
    assert values.max() < 1
    assert abs(values.mean() - 0.75) < 0.01


def test_lowbit_extremes():
    binary = everything(LowBitTag(images_per_class=5, on_min_brightness=1.0, p_on=0.2, normalize=False)).x
    assert binary.unique().tolist() == [0, 1]
    assert everything(LowBitTag(images_per_class=5, p_on=0.0, normalize=False)).x.sum() == 0
    assert (everything(LowBitTag(images_per_class=5, p_on=1.0, normalize=False)).x > 0).all()


@pytest.mark.parametrize(("cls", "most"), [(NoiseTags, 3), (LowBitTag, 2)])
def test_training_shows_every_cyclic_shift_the_identity_included(cls, most):
    source = cls(images_per_class=50, shift_max=most, normalize=False)
    base = everything(source).x[:, 0]
    counts = torch.zeros(2 * most + 1, 2 * most + 1)
    for epoch in range(4):
        moved = everything(source, "train", epoch).x[:, 0]
        for dy in range(-most, most + 1):
            for dx in range(-most, most + 1):
                same = (torch.roll(base, (dy, dx), (1, 2)) == moved).flatten(1).all(1)
                counts[dy + most, dx + most] += same.sum()
    assert counts.sum() >= 2000  # more only where two shifts give one picture
    assert (counts > 2000 / counts.numel() * 0.5).all()
    assert (counts < 2000 / counts.numel() * 1.6).all()


def test_shift_by_up_to_27_covers_the_torus_with_the_identity():
    source = NoiseTags(images_per_class=200, normalize=False)
    base = everything(source).x[:, 0]
    identical = sum(int((everything(source, "train", e).x[:, 0] == base).flatten(1).all(1).sum()) for e in range(6))
    assert 0 < identical < 20  # 12,000 / 55^2 = 4 expected


def test_rows_and_columns_move_independently():
    source = NoiseTags(images_per_class=200, shift_max=1, normalize=False)
    base, moved = everything(source).x[:, 0], everything(source, "train").x[:, 0]
    table = torch.stack(
        [
            (torch.roll(base, (dy, dx), (1, 2)) == moved).flatten(1).all(1).sum()
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
    )
    assert ((table - 2000 / 9) ** 2 / (2000 / 9)).sum() < 30


def test_no_shift_leaves_training_as_it_is():
    for cls in (NoiseTags, LowBitTag):
        source = cls(images_per_class=3, shift_max=0)
        assert torch.equal(everything(source, "train", 5).x, everything(source, "val").x)


def test_pixel_noise_is_added_on_train_only():
    source = LowBitTag(images_per_class=50, p_on=0.0, shift_max=0, gaussian_std=0.1, normalize=False)
    noise = everything(source, "train", 1).x
    assert everything(source).x.sum() == 0
    assert 0.35 < (noise > 0).float().mean() < 0.65  # half is clamped to 0
    assert abs(noise[noise > 0].mean() - 0.1 * math.sqrt(2 / math.pi)) < 2e-3


def test_normalisation():
    raw, normal = (everything(NoiseTags(images_per_class=3, normalize=n)).x for n in (False, True))
    assert torch.allclose(normal, (raw - 0.1307) / 0.3081, atol=1e-6)


SHARED = [
    ({"images_per_class": 0}, "images_per_class=0 is too small; it must be at least 1"),
    ({"classes": []}, r"classes=\[\] must be distinct digits"),
    ({"classes": [1, 1]}, "must be distinct digits"),
    ({"classes": [10]}, "must be distinct digits"),
    ({"classes": [-1]}, "must be distinct digits"),
    ({"gaussian_std": -1.0}, "gaussian_std=-1.0"),
]


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(("arguments", "message"), SHARED)
def test_errors_of_all_tags(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (NoiseTags, {"distribution": "cauchy"}, "distribution='cauchy' is unknown; choose one of uniform, normal"),
        (NoiseTags, {"shift_max": -1}, "shift_max=-1 is too small"),
        (LowBitTag, {"shift_max": -1}, "shift_max=-1 is too small"),
        (LowBitTag, {"p_on": 1.1}, r"p_on=1.1 is out of range; it must lie in \[0, 1\]"),
        (LowBitTag, {"p_on": -0.1}, "p_on=-0.1"),
        (LowBitTag, {"on_min_brightness": 2.0}, "on_min_brightness=2.0"),
        (LowFreqTag, {"jitter_max": 5}, r"jitter_max=5 is out of range; it must lie in \[0, 4\]"),
        (LowFreqTag, {"jitter_max": -1}, "jitter_max=-1"),
        (LowFreqTag, {"magnitude_num_images": 0}, "magnitude_num_images=0"),
    ],
)
def test_errors_of_one_kind(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)
