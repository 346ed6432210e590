from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from small_store import Digits, Net, flip, make

from saelab.store import MemoryBatches, PoolBatches, Store

SHARD = "train/acts/net.1@in/00002.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "store"
    make(path, Net(), Digits())
    return path


@pytest.fixture
def path(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def test_read_gives_the_rows_asked_for_in_their_order(path) -> None:
    store = Store(path)
    whole = store.tensor("train", "net.1")
    for rows in ([5, 99, 0, 16, 15, 99], [], [100], [*range(101)]):
        index = torch.tensor(rows, dtype=torch.long)
        assert torch.equal(store.read("train", "net.1", index), whole[index])
    assert torch.equal(store.read("train", "net.1", slice(10, 40, 3)), whole[10:40:3])
    assert torch.equal(store.read("train", "net.1", slice(-3, None)), whole[-3:])
    with pytest.raises(ValueError, match="has 101"):
        store.read("train", "net.1", torch.tensor([101]))


def test_names_are_checked(path) -> None:
    store = Store(path)
    with pytest.raises(ValueError, match=r"no site 'net.3'; it has net.1:in, net.1"):
        store.width("net.3")
    with pytest.raises(ValueError, match="no split 'dev'; it has train, val"):
        store.labels("dev")


@pytest.mark.parametrize("server", [MemoryBatches, PoolBatches])
def test_a_flipped_byte_is_refused_by_name_before_it_is_served(path, server) -> None:
    flip(path / SHARD)
    store = Store(path)
    with pytest.raises(ValueError, match=r"net.1@in/00002.safetensors is damaged"):
        [*server(store, split="train", site="net.1:in", batch_size=50)]
    with pytest.raises(ValueError, match=r"net.1@in/00002.safetensors is damaged"):
        store.verify()
    with pytest.raises(ValueError, match=r"net.1@in/00002.safetensors is damaged"):
        store.read("train", "net.1:in", torch.tensor([40]))
    store.read("train", "net.1:in", torch.tensor([10]))  # what is whole can be read
    store.tensor("val", "net.1")


@pytest.mark.parametrize("folder", ["index", "labels"])
def test_labels_and_index_are_checked_too(path, folder) -> None:
    flip(path / f"val/{folder}/00000.safetensors")
    with pytest.raises(ValueError, match=f"val/{folder}/00000.safetensors is damaged"):
        getattr(Store(path), folder)("val")


def test_a_truncated_shard_is_refused_when_the_store_is_opened(path) -> None:
    (path / SHARD).write_bytes((path / SHARD).read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"net.1@in/00002.safetensors has \d+ bytes, not \d+"):
        Store(path)


def test_a_foreign_file_in_place_of_a_shard(path) -> None:
    size = (path / SHARD).stat().st_size
    (path / SHARD).write_bytes(b"GIF89a".ljust(size, b"."))
    with pytest.raises(ValueError, match=r"00002.safetensors is damaged"):
        Store(path).tensor("train", "net.1:in")


def test_a_missing_shard(path) -> None:
    (path / SHARD).unlink()
    with pytest.raises(ValueError, match=r"00002.safetensors is missing"):
        Store(path)


def test_what_is_not_a_store(path, tmp_path) -> None:
    with pytest.raises(ValueError, match="nowhere is not a store: no such directory"):
        Store(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not a store: it has no meta"):
        Store(tmp_path / "empty")
    meta = path / "meta.json"
    text = meta.read_text()
    for content, message in [
        ("{}", "does not describe a store"),
        ("[1]", "does not describe a store"),
        (text[:-9], "does not describe a store"),
        (text.replace('"format": 1', '"format": 99'), "format 99"),
        (text.replace('"square"', '"sqare"'), "damaged"),
        (text.replace('"sites"', '"site"'), "damaged"),
    ]:
        meta.write_text(content)
        with pytest.raises(ValueError, match=message):
            Store(path)
