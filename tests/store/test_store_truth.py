"""The true directions and codes beside a user's array."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saelab.store import Array, Index

rng = np.random.default_rng(0)
X, V, S = (rng.standard_normal(shape) for shape in ((50, 6), (9, 6), (50, 9)))


@pytest.fixture
def folder(tmp_path):
    for name, value in {"acts": X, "truth": V, "codes": S, "wide": V.T, "few": S[:40], "other": S[:, :8]}.items():
        np.save(tmp_path / f"{name}.npy", value.astype(np.float32))
    return tmp_path


def array(folder, **names):
    files = {name: str(folder / f"{value}.npy") for name, value in names.items()}
    return Array(path=str(folder / "acts.npy"), **files)


def test_codes_follow_the_rows_of_the_store(folder):
    given = array(folder, dictionary="truth", codes="codes")
    truth, store = given.truth(), given.store(folder / "stores")
    np.testing.assert_allclose(truth.dictionary, V.astype(np.float32))
    for split in store.splits:
        index = store.index(split)
        np.testing.assert_allclose(truth.codes(split, index), S[index.position.numpy()].astype(np.float32))
        np.testing.assert_allclose(store.tensor(split, "acts"), X[index.position.numpy()].astype(np.float32))


def test_a_truth_does_not_change_the_store(folder):
    plain, known = array(folder), array(folder, dictionary="truth")
    assert plain.truth() is None
    assert known.truth().codes is None
    assert plain.store(folder / "stores").hash == known.store(folder / "stores").hash


def test_tensors_of_the_same_file(tmp_path):
    named = {"acts": torch.tensor(X), "v": torch.tensor(V), "s": torch.tensor(S)}
    save_file(named, tmp_path / "all.safetensors")
    truth = Array(path=str(tmp_path / "all.safetensors"), key="acts", dictionary="v", codes="s").truth()
    assert truth.dictionary.dtype == torch.float32
    row = Index(torch.tensor([0, 0]), torch.tensor([7, 3]))
    np.testing.assert_allclose(truth.codes("test", row), S[[7, 3]].astype(np.float32))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"codes": "codes"}, "codes=.*codes.npy are of directions that are not given; name their file as dictionary="),
        ({"dictionary": "wide"}, r"wide.npy holds torch.float32 of shape \[6, 9\]; the rows of .* are 6 wide"),
        ({"dictionary": "nowhere"}, "nowhere.npy does not exist"),
        ({"dictionary": "truth", "codes": "few"}, r"few.npy has shape \[40, 9\], and .*acts.npy has 50 rows"),
        (
            {"dictionary": "truth", "codes": "other"},
            r"other.npy has shape \[50, 8\].* 9 directions; it takes \[50, 9\]",
        ),
    ],
)
def test_errors(folder, names, message):
    with pytest.raises(ValueError, match=message):
        array(folder, **names).truth()
