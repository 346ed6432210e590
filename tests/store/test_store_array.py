from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saelab.store import array_recipe, import_array

N, D = 500, 7
rng = np.random.default_rng(0)
X = rng.standard_normal((N, D)).astype(np.float32)
DIGIT = rng.integers(0, 10, N)
GROUP = np.sort(rng.integers(1000, 1060, N))


def load(array, path, **options):
    return import_array(array, path, **{"shard_rows": 64, "progress": False, **options})


@pytest.fixture
def npy(tmp_path):
    for name, value in {"acts": X, "digit": DIGIT, "tilt": X[:, :2].astype(np.float64), "group": GROUP}.items():
        np.save(tmp_path / f"{name}.npy", value)
    return tmp_path / "acts.npy"


@pytest.fixture
def tensors(tmp_path):
    named = {"acts": torch.from_numpy(X), "digit": torch.from_numpy(DIGIT), "group": torch.from_numpy(GROUP)}
    save_file({**named, "tilt": torch.from_numpy(X[:, :2].copy())}, tmp_path / "acts.safetensors")
    return tmp_path / "acts.safetensors"


def check(store) -> None:
    """Every row of the array is in one split, with its labels, and no item is in two."""
    positions, owners = [], []
    for split in store.splits:
        item, position = store.index(split)
        assert torch.equal(store.tensor(split, "acts"), torch.from_numpy(X)[position])
        assert store.labels(split)["digit"].tolist() == DIGIT[position].tolist()
        torch.testing.assert_close(store.labels(split)["tilt"], torch.from_numpy(X[:, :2])[position])
        np.testing.assert_allclose(store.mean(split, "acts"), X[position].astype(np.float64).mean(0), rtol=1e-9)
        positions += position.tolist()
        owners.append(set(item.tolist()))
        assert position.tolist() != sorted(position.tolist())
    assert sorted(positions) == [*range(N)]
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_npy_with_labels(npy, tmp_path) -> None:
    labels = {name: str(tmp_path / f"{name}.npy") for name in ("digit", "tilt")}
    store = load(npy, tmp_path / "s", labels=labels)
    check(store)
    assert [store.rows(split) for split in store.splits] == [400, 50, 50]
    assert store.shards("train") == [64] * 6 + [16]
    assert store.meta.source == "acts.npy"
    grouped = load(npy, tmp_path / "g", labels=labels, items=str(tmp_path / "group.npy"))
    check(grouped)
    assert grouped.index("val").item.tolist() == GROUP[grouped.index("val").position].tolist()


def test_safetensors_with_labels_and_items(tensors, tmp_path) -> None:
    options = {"key": "acts", "labels": {"digit": "digit", "tilt": "tilt"}, "items": "group"}
    store = load(tensors, tmp_path / "s", **options)
    check(store)
    assert load(tensors, tmp_path / "s", **options).meta == store.meta
    again = load(tensors, tmp_path / "again", **options)
    assert (again.hash, again.meta.files) == (store.hash, store.meta.files)


def test_the_hash_is_of_the_content_not_the_name(npy, tmp_path) -> None:
    store = load(npy, tmp_path / "s")
    moved = npy.rename(tmp_path / "renamed.npy")
    assert array_recipe(moved) == store.meta.recipe
    np.save(moved, X + 1)
    assert array_recipe(moved) != store.meta.recipe
    assert array_recipe(moved, seed=1) != array_recipe(moved)
    with pytest.raises(ValueError, match="another recipe"):
        load(moved, tmp_path / "s")


def test_splits_by_seed(npy, tmp_path) -> None:
    splits = {"train": 0.5, "val": 0.5}
    rows = [load(npy, tmp_path / str(s), splits=splits, seed=s).index("val").item.sort().values for s in (0, 1)]
    assert len(rows[0]) == len(rows[1]) == 250
    assert not torch.equal(*rows)
    whole = load(npy, tmp_path / "whole", splits={"train": 1.0})
    assert whole.splits == ("train",)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_and_column_order(tmp_path, dtype) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(X.astype(dtype)))
    if dtype == ">f4":
        with pytest.raises(ValueError, match=r"a\.npy"):
            load(tmp_path / "a.npy", tmp_path / "s")
        return
    store = load(tmp_path / "a.npy", tmp_path / "s")
    expected = torch.from_numpy(X.astype(dtype).astype(np.float32))[store.index("train").position]
    assert torch.equal(store.tensor("train", "acts"), expected)


def test_a_stopped_import_goes_on_to_the_same_bytes(npy, tmp_path, monkeypatch) -> None:
    from small_store import files

    from saelab.store import array

    monkeypatch.setattr(array, "READ_ROWS", 90)
    load(npy, tmp_path / "whole")
    chunk, calls = array._chunk, []

    def failing(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return chunk(*args)

    monkeypatch.setattr(array, "_chunk", failing)
    with pytest.raises(KeyboardInterrupt):
        load(npy, tmp_path / "parts")
    monkeypatch.setattr(array, "_chunk", chunk)
    load(npy, tmp_path / "parts")
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def bad_files(folder):
    np.save(folder / "flat.npy", X.reshape(-1))
    np.save(folder / "whole.npy", X.astype(np.int64))
    np.save(folder / "none.npy", X[:0])
    np.save(folder / "strings.npy", np.array([["a", "b"]]))
    np.save(folder / "objects.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    np.save(folder / "nan.npy", np.where(X > 3, np.nan, X))
    np.save(folder / "cut.npy", X)
    (folder / "cut.npy").write_bytes((folder / "cut.npy").read_bytes()[:-5])
    (folder / "foreign.npy").write_bytes(b"GIF89a and so on")
    (folder / "empty.npy").write_bytes(b"")
    (folder / "foreign.safetensors").write_bytes(b"GIF89a and so on")
    (folder / "acts.csv").write_text("1,2")
    np.save(folder / "good.npy", X)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flat.npy", r"flat.npy holds torch.float32 of shape \[3500\]"),
        ("whole.npy", "whole.npy holds torch.int64"),
        ("none.npy", r"none.npy holds .* \[0, 7\]"),
        ("strings.npy", "strings.npy is not a whole .npy file of numbers"),
        ("objects.npy", "objects.npy is not a whole .npy file of numbers"),
        ("nan.npy", r"nan.npy \(rows .* holds NaN"),
        ("cut.npy", "cut.npy is not a whole"),
        ("foreign.npy", "foreign.npy is not a whole"),
        ("empty.npy", "empty.npy is not a whole"),
        ("foreign.safetensors", "foreign.safetensors is not a whole"),
        ("acts.csv", "acts.csv has to be .npy or .safetensors"),
        ("absent.npy", "absent.npy does not exist"),
    ],
)
def test_bad_arrays_are_named(tmp_path, name, message) -> None:
    bad_files(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / name, tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"digit": "digit.npy"}}, "digit.npy does not exist"),
        ({"labels": {"digit": "digit"}}, "none called 'digit'"),
        ({"key": "x"}, "none called 'x'"),
        ({"splits": {"train": 0.5, "val": 0.4}}, "add up to 1"),
        ({"splits": {"train": 0.9999, "val": 0.0001}}, "'val' empty"),
        ({"dtype": "int8"}, "float32, float16, bfloat16"),
    ],
)
def test_bad_options(tmp_path, options, message) -> None:
    bad_files(tmp_path)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "good.npy", tmp_path / "s", **options)


def test_labels_must_fit(npy, tensors, tmp_path) -> None:
    np.save(tmp_path / "short.npy", DIGIT[:-1])
    with pytest.raises(ValueError, match=r"short.npy has shape \[499\].*500 rows"):
        load(npy, tmp_path / "s", labels={"digit": str(tmp_path / "short.npy")})
    with pytest.raises(ValueError, match=r"holds acts, digit, group, tilt; name one"):
        load(tensors, tmp_path / "s")
