from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from small_store import Digits, files, flip, make

from saelab.store import Store, capture, recipe_hash, rows


def direct(net, source, split: str, site: str, tokens="all"):
    """Rows of every item, in the order of the items: `[items, per item, d]`."""
    with torch.no_grad(), capture(net, [site]) as acts:
        net(source.batch(split, torch.arange(source.size(split))).x)
    found = rows(acts[site], tokens)
    return found.x.reshape(source.size(split), found.per_item, -1)


def test_every_row_is_the_activation_of_its_item(net, source, tmp_path) -> None:
    store = make(tmp_path, net, source)
    for split in source.sizes:
        index = store.index(split)
        assert index.item.sort().values.tolist() == [*range(source.size(split))]
        assert (index.position == -1).all()
        assert index.item.tolist() != index.item.sort().values.tolist()
        for site in ("net.1:in", "net.1"):
            expected = direct(net, source, split, site)[index.item, 0]
            torch.testing.assert_close(store.tensor(split, site), expected, rtol=1e-6, atol=1e-6)
    assert store.sites == {"net.1:in": 8, "net.1": 8}
    assert store.shards("train") == [16] * 6 + [5]


@pytest.mark.parametrize("tokens", ["all", "cls", "patches", "mean", "last", [1, -1]])
def test_tokens_keep_item_and_position(net, source, tmp_path, tokens) -> None:
    store = make(tmp_path, net, source, sites=["sequence"], tokens=tokens)
    expected = direct(net, source, "train", "sequence", tokens)
    item, position = store.index("train")
    order = {"all": [0, 1, 2, 3], "cls": [0], "patches": [1, 2, 3], "mean": [-1], "last": [3]}
    of_position = order[tokens] if isinstance(tokens, str) else [1, 3]
    place = torch.tensor([of_position.index(p) for p in position.tolist()])
    torch.testing.assert_close(store.tensor("train", "sequence"), expected[item, place], rtol=1e-6, atol=1e-6)
    assert len(set(zip(item.tolist(), position.tolist(), strict=True))) == 101 * len(of_position)


def test_pixels_are_rows_and_no_item_sits_together(net, source, tmp_path) -> None:
    store = make(tmp_path, net, source, sites=["image"], shard_rows=64)
    assert store.rows("train") == 404
    item = store.index("train").item
    assert (item[1:] == item[:-1]).float().mean() < 0.3  # 0.75 if an item's four rows were neighbours


def test_labels_follow_their_rows(net, source, tmp_path) -> None:
    store = make(tmp_path, net, source, sites=["sequence"])
    item, labels = store.index("val").item, store.labels("val")
    assert torch.equal(labels["digit"], item % 5)
    assert torch.equal(labels["tilt"], torch.stack([item / 7.0, -item / 3.0], 1))
    assert store.meta.families["digit"] == {"width": 0, "names": ["0", "1", "2", "3", "4"]}
    assert store.meta.families["tilt"] == {"width": 2, "names": ["a", "b"]}


def test_all_sites_take_one_pass_and_the_net_is_given_back(net, source, tmp_path) -> None:
    net.train()
    net.net[2].eval()
    make(tmp_path, net, source, sites=["net.0", "net.1:in", "net.1", "net.2"])
    assert net.passes == source.asked == 11 + 3
    assert net.training
    assert not net.net[2].training
    assert not net.net[1]._forward_hooks


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 8e-3)])
def test_dtypes(net, source, tmp_path, dtype, rtol) -> None:
    store = make(tmp_path, net, source, dtype=dtype)
    expected = direct(net, source, "train", "net.0")[store.index("train").item, 0]
    for read in (store.tensor("train", "net.1:in"), store.read("train", "net.1:in", slice(None))):
        assert read.dtype == torch.float32
        torch.testing.assert_close(read, expected, rtol=rtol, atol=1e-6)
    assert store.tensor("train", "net.1", dtype=store.dtype).dtype == store.dtype


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_statistics_are_those_of_the_stored_rows(net, source, tmp_path, dtype) -> None:
    net.net[0].bias.data += 1000  # cancellation would show
    store = make(tmp_path, net, source, dtype=dtype)
    for split in store.splits:
        x = store.tensor(split, "net.1").numpy().astype(np.float64)
        np.testing.assert_allclose(store.mean(split, "net.1").numpy(), x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(store.mean_square(split, "net.1"), (x**2).sum(1).mean(), rtol=1e-12)
        np.testing.assert_allclose(store.variance(split, "net.1"), ((x - x.mean(0)) ** 2).sum(1).mean(), rtol=1e-10)


def test_float16_overflow_names_the_site_and_the_cure(net, source, tmp_path) -> None:
    net.net[0].bias.data += 1e5
    with pytest.raises(ValueError, match=r"site 'net.1'.*65504 of float16.*bfloat16"):
        make(tmp_path, net, source, sites=["net.1"], dtype="float16")
    assert make(tmp_path, net, source, sites=["net.1"], dtype="bfloat16").rows("train") == 101


def test_nan_is_refused(net, source, tmp_path) -> None:
    net.net[0].bias.data[3] = float("nan")
    with pytest.raises(ValueError, match=r"site 'net.1:in'.*NaN"):
        make(tmp_path, net, source)


def test_a_complete_store_is_reused(net, source, tmp_path) -> None:
    first = make(tmp_path, net, source)
    asked = source.asked
    again = make(tmp_path, net, source, batch_size=7, shard_rows=99)  # how it was cut does not matter
    assert source.asked == asked
    assert again.meta == first.meta


@pytest.mark.parametrize("change", [{"recipe": {"what": "else"}}, {"sites": ["net.0"]}, {"dtype": "float16"}])
def test_a_complete_store_of_something_else_is_not_overwritten(net, source, tmp_path, change) -> None:
    make(tmp_path, net, source)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="choose another path"):
        make(tmp_path, net, source, **change)
    assert files(tmp_path) == before


def test_a_foreign_directory_is_not_touched(net, source, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"not a store.*thesis\.txt"):
        make(tmp_path, net, source)


def stop_after(source: Digits, batches: int) -> None:
    batch = source.batch

    def failing(*args, **kwargs):
        if source.asked >= batches:
            raise KeyboardInterrupt
        return batch(*args, **kwargs)

    source.batch = failing


@pytest.mark.parametrize("batches", [0, 1, 2, 5, 10, 11, 12, 13])
@pytest.mark.parametrize("site", ["net.1", "image"])
def test_a_stopped_extraction_goes_on_to_the_same_bytes(net, tmp_path, batches, site) -> None:
    whole = make(tmp_path / "whole", net, Digits(), sites=[site])
    stopped = Digits()
    stop_after(stopped, batches)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "parts", net, stopped, sites=[site])
    with pytest.raises(ValueError, match="unfinished"):
        Store(tmp_path / "parts")
    rest = Digits()
    store = make(tmp_path / "parts", net, rest, sites=[site])
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert store.meta.splits == whole.meta.splits
    assert rest.asked < 14 or batches < 2
    assert not [*tmp_path.rglob("*.tmp")]


def test_damaged_parts_are_written_again(net, tmp_path) -> None:
    make(tmp_path / "whole", net, Digits())
    stopped = Digits()
    stop_after(stopped, 9)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "parts", net, stopped)
    flip(tmp_path / "parts/train/acts/net.1/00001.safetensors")
    with open(tmp_path / "parts/progress.jsonl", "a") as log:
        log.write('{"split": "tra')  # a torn line
    make(tmp_path / "parts", net, Digits())
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"recipe": {"what": "else"}}, {"batch_size": 11}, {"shard_rows": 8}])
def test_parts_of_something_else_are_thrown_away(net, tmp_path, change) -> None:
    make(tmp_path / "whole", net, Digits(), **change)
    stopped = Digits()
    stop_after(stopped, 9)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "parts", net, stopped)
    make(tmp_path / "parts", net, Digits(), **change)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_two_at_once_make_one_store(net, tmp_path) -> None:
    sources = [Digits(), Digits()]
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda s=s: stores.append(make(tmp_path, net, s))) for s in sources]
    # threads suffice: the lock is held by an open file, so a second opening waits wherever it is
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(s.asked for s in sources) == [0, 14]
    assert stores[0].meta == stores[1].meta


def test_sites_must_agree_on_rows(net, source, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"different numbers of rows.*tokens=mean"):
        make(tmp_path, net, source, sites=["net.1", "sequence"])
    assert make(tmp_path, net, source, sites=["net.1", "sequence"], tokens="mean").width("sequence") == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": []}, "one or more"),
        ({"sites": ["net.9"]}, "nearest"),
        ({"dtype": "int8"}, "float32, float16, bfloat16"),
        ({"shard_rows": 0}, "shard_rows=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"recipe": {"x": object()}}, "plain JSON"),
        ({"tokens": "cls", "sites": ["image"]}, "site 'image'.*image activation"),
    ],
)
def test_mistakes(net, source, tmp_path, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "s", net, source, **change)


def test_recipe_hash_is_of_the_content() -> None:
    assert recipe_hash({"a": 1, "b": [1, 2]}) == recipe_hash({"b": [1, 2], "a": 1})
    assert recipe_hash({"a": 1}) != recipe_hash({"a": 2})
    assert len(recipe_hash({})) == 12


def test_meta_says_what_it_holds(net, source, tmp_path) -> None:
    make(tmp_path, net, source)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["recipe"] == {"what": "test"}
    assert meta["hash"] == recipe_hash({"what": "test"})
    assert meta["splits"]["train"]["rows"] == 101
    assert set(meta["files"]) == set(files(tmp_path))
    assert meta["source"] == "Digits"
    assert not (tmp_path / "progress.jsonl").exists()
