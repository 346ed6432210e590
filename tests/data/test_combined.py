import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saelab.data import MNIST, Combined, Loops, LowBitTag, NoiseTags
from saelab.data.pairing import pair

CPU = torch.device("cpu")


def tags(**arguments):
    return NoiseTags(images_per_class=3, normalize=False, **arguments)


def bits(**arguments):
    return LowBitTag(images_per_class=5, normalize=False, **arguments)


def digit(**arguments):
    return MNIST(normalize=False, **arguments)


def everything(source, split="train", epoch=0):
    return source.batch(split, torch.arange(source.size(split)), epoch)


def test_a_sum_is_the_sum_of_its_parts_clipped_then_normalised():
    source = Combined(components={"digit": digit(), "tag": tags()}, keep_parts=True)
    batch = source.batch("train", torch.arange(100), 2)
    total = batch.parts["digit"] + batch.parts["tag"]
    assert torch.allclose(batch.x, (total.clamp(0, 1) - 0.1307) / 0.3081, atol=1e-6)
    assert total.max() > 1.5
    raw = Combined(components=source.components, clip=None, normalize=False)
    assert torch.equal(raw.batch("train", torch.arange(100), 2).x, total)
    low = Combined(components=source.components, clip=(0.2, 0.6), normalize=False)
    assert torch.equal(low.batch("train", torch.arange(100), 2).x, total.clamp(0.2, 0.6))


def test_side_by_side():
    components = {"digit": digit(), "tag": tags(), "loop": Loops()}
    source = Combined(components=components, layout="side_by_side", keep_parts=True, normalize=False)
    batch = source.batch("val", torch.arange(8))
    assert source.input_shape == (1, 28, 84)
    assert batch.x.shape == (8, 1, 28, 84)
    for i, name in enumerate(components):
        assert torch.equal(batch.x[..., 28 * i : 28 * (i + 1)], batch.parts[name])


def test_weights():
    components = {"digit": digit(), "tag": tags()}
    source = Combined(components=components, weights={"digit": 0.5, "tag": 0.25}, keep_parts=True, normalize=False)
    plain = Combined(components=components, keep_parts=True)
    index = torch.arange(50)
    batch, whole = source.batch("test", index), plain.batch("test", index).parts
    assert torch.equal(batch.parts["digit"], whole["digit"] / 2)
    assert torch.allclose(batch.x, whole["digit"] / 2 + whole["tag"] / 4)
    again = plain.batch("test", index).parts  # nothing of a component's own was changed
    assert torch.equal(again["tag"], whole["tag"]) and torch.equal(again["digit"], whole["digit"])


@pytest.mark.parametrize("layout", ["sum", "side_by_side"])
@pytest.mark.parametrize("normalize", [False, True])
def test_placed_parts_are_what_the_picture_is_the_sum_of(layout, normalize):
    components = {"digit": digit(), "tag": tags()}
    source = Combined(components=components, layout=layout, clip=None, weights={"tag": 0.5}, normalize=normalize)
    index = torch.tensor([3, 0, 700])
    placed = source.placed("test_unseen", index)
    assert {name: part.shape for name, part in placed.items()} == dict.fromkeys(components, (3, *source.input_shape))
    constant = 0.1307 / 0.3081 if normalize else 0.0
    torch.testing.assert_close(
        placed["digit"] + placed["tag"] - constant, source.batch("test_unseen", index).x, atol=1e-5, rtol=0
    )
    if layout == "side_by_side":
        assert placed["digit"][..., 28:].abs().max() == placed["tag"][..., :28].abs().max() == 0


@pytest.mark.parametrize("split", ["train", "val", "test", "test_unseen"])
def test_parts_are_the_components_own_items(split):
    components = {"digit": digit(), "tag": tags(), "loop": Loops(train_length=100, val_length=100, test_length=100)}
    source = Combined(components=components, keep_parts=True)
    batch = source.batch(split, torch.arange(50))
    for name, component in components.items():
        own = split if split in component.splits else "test"
        # in the first pass through a component its own epoch is the sum's
        first = torch.arange(50) < component.size(own)
        alone = component.batch(own, batch.parts[f"{name}_id"][first])
        if name != "tag":
            assert torch.equal(alone.x, batch.parts[name][first])
        assert torch.equal(alone.labels[component.family], batch.labels[component.family][first])


def test_unseen_tags_are_shown_with_the_test_digits():
    source = Combined(components={"digit": digit(), "tag": tags()}, keep_parts=True)
    assert source.splits == ("train", "val", "test", "test_unseen")
    seen, unseen = everything(source, "test"), everything(source, "test_unseen")
    assert source.size("test") == source.size("test_unseen") == 1000
    known = {bytes(x.numpy()) for x in everything(source.components["tag"], "val").x}
    assert {bytes(x.numpy()) for x in seen.parts["tag"]} == known
    assert not known & {bytes(x.numpy()) for x in unseen.parts["tag"]}
    assert Combined(components={"digit": digit(), "loop": Loops()}, target="int", target_family="digit").splits == (
        "train",
        "val",
        "test",
    )


def test_once_visits_the_longest_once_and_the_others_evenly():
    source = Combined(components={"bits": bits(), "noise": tags()})
    orders = []
    for epoch in range(3):
        batch = everything(source, epoch=epoch)
        assert batch.parts["bits_id"].sort().values.tolist() == list(range(50))
        assert batch.parts["noise_id"][:30].sort().values.tolist() == list(range(30))
        assert len(set(batch.parts["noise_id"][30:].tolist())) == 20
        orders.append(tuple(batch.parts["noise_id"].tolist()))
    assert len(set(orders)) == 3
    assert (
        everything(source, "val", 1).parts["noise_id"].tolist()
        == everything(source, "val", 2).parts["noise_id"].tolist()
    )


def test_an_item_that_comes_back_is_augmented_anew():
    noise = NoiseTags(images_per_class=1, classes=[3], normalize=False)
    source = Combined(components={"noise": noise, "bits": bits()}, keep_parts=True)
    assert len({bytes(x.numpy()) for x in everything(source).parts["noise"]}) > 40
    shown = [{bytes(x.numpy()) for x in everything(source, epoch=e).parts["noise"]} for e in (0, 1)]
    assert len(shown[0] & shown[1]) < 10


def test_replacement_draws_uniformly():
    source = Combined(components={"bits": bits(), "noise": tags()}, draw="replacement", length=20_000)
    batch = everything(source)
    for name, n in (("bits", 50), ("noise", 30)):
        counts = batch.parts[f"{name}_id"].bincount(minlength=n)
        expected = 20_000 / n
        assert ((counts - expected) ** 2 / expected).sum() < 2 * n
    joint = (batch.parts["bits_id"] * 30 + batch.parts["noise_id"]).bincount(minlength=1500)
    assert ((joint - 20_000 / 1500) ** 2 / (20_000 / 1500)).sum() < 1800
    shown = Combined(components={"tag": tags()}, draw="replacement", length=300, keep_parts=True)
    assert len({bytes(x.numpy()) for x in everything(shown).parts["tag"]}) > 290  # each draw is augmented anew
    once = Combined(components={"bits": bits(), "noise": tags()}, draw="replacement")
    assert 0.5 < len(set(everything(once).parts["bits_id"].tolist())) / 50 < 0.8


@given(st.integers(1, 40), st.integers(1, 90), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_pairing_counts_differ_by_at_most_one(n, length, epoch):
    ids, epochs = pair(5, length, n, "once", epoch, CPU)
    counts = ids.bincount(minlength=n)
    assert counts.max() - counts.min() <= 1
    seen = set(zip(ids.tolist(), epochs.tolist(), strict=True))
    assert len(seen) == length
    later = pair(5, length, n, "once", epoch + 1, CPU)
    assert not seen & set(zip(later[0].tolist(), later[1].tolist(), strict=True))


def test_length():
    source = Combined(components={"bits": bits(), "noise": tags()}, length=20)
    assert [source.size(split) for split in source.splits] == [20, 50, 50, 50]
    assert len(set(everything(source).parts["bits_id"].tolist())) == 20


def test_components_with_one_seed_are_independent():
    source = Combined(
        components={
            "noise": NoiseTags(normalize=False, shift_max=0),
            "bits": LowBitTag(normalize=False, p_on=0.3, shift_max=0),
        },
        keep_parts=True,
    )
    batch = everything(source)
    pixels = torch.stack([batch.parts["noise"].flatten(), batch.parts["bits"].flatten()])
    assert torch.corrcoef(pixels)[0, 1].abs() < 0.01
    agreement = (batch.labels["noise"] == batch.labels["bits"]).float().mean()
    assert abs(agreement - 0.1) < 0.03


def test_families_take_the_component_s_name_only_where_they_must():
    two = Combined(components={"digit": digit(), "noise": tags(), "dots": bits()})
    assert list(two.families) == ["digit", "noise", "dots"]
    one = Combined(components={"a": digit(), "b": tags(), "c": Loops()})
    assert list(one.families) == ["digit", "tag", "loop"]
    assert one.families["loop"].factors[0] == "size"
    assert one.batch("val", torch.arange(3)).labels["loop"].shape == (3, 8)


def test_targets():
    components = {"digit": digit(), "tag": tags(), "loop": Loops(train_length=50)}
    index = torch.arange(200)

    def batch(**arguments):
        source = Combined(components=components, **arguments)
        return source, source.batch("train", index)

    source, got = batch(target="int", target_family="tag")
    assert torch.equal(got.y, got.labels["tag"])
    assert source.n_out == 10
    source, got = batch(target="onehot", target_family="digit")
    assert torch.equal(got.y, torch.eye(10)[got.labels["digit"]])
    source, got = batch(target="multihot_separate")
    assert source.n_out == 20
    assert torch.equal(got.y, torch.cat([torch.eye(10)[got.labels["digit"]], torch.eye(10)[got.labels["tag"]]], 1))
    source, got = batch(target="multihot_shared")
    assert source.n_out == 10
    assert torch.equal(got.y, (torch.eye(10)[got.labels["digit"]] + torch.eye(10)[got.labels["tag"]]).clamp(0, 1))
    assert 0.03 < (got.y.sum(1) == 1).float().mean() < 0.2


def error_cases():
    yield {}, {}, "components is empty"
    yield {"d": MNIST()}, {}, "component 'd' is normalised, .* set its normalize=false"
    yield {"d": Combined(components={"a": tags()})}, {}, "component 'd' is a Combined; only single picture sources"
    yield {"d": digit(), "l": Loops(image_size=20)}, {}, "which layout=sum cannot join"
    yield {"d": digit(), "l": Loops(image_size=20)}, {"layout": "side_by_side"}, "layout=side_by_side cannot join"
    yield {"a": tags(), "b": tags()}, {}, "'a' and 'b' are both NoiseTags with seed=0, .* give one another seed"
    yield {"digit": tags(), "b": bits(), "c": digit()}, {}, "are not distinct; rename"
    yield {"d": digit(), "d_id": tags()}, {}, "component 'd_id' is named like the items of 'd'"
    yield {"l": Loops()}, {}, "needs classes, and none of the components has any"
    yield {"d": digit()}, {"layout": "stack"}, "layout='stack' is unknown; choose one of sum, side_by_side"
    yield {"d": digit()}, {"draw": "twice"}, "draw='twice' is unknown"
    yield {"d": digit()}, {"target": "multi"}, "target='multi' is unknown"
    yield {"d": digit()}, {"weights": {"e": 0.5}}, "weights name 'e', but the components are d"
    yield {"d": digit()}, {"weights": {"d": 0}}, "weights.d=0 is too small; it must be greater than 0"
    yield {"d": digit()}, {"target": "int"}, "target_family=None, but target=int needs one of digit"
    yield {"d": digit(), "l": Loops()}, {"target": "onehot", "target_family": "loop"}, "needs one of digit"
    yield {"d": digit()}, {"target_family": "digit"}, "target_family='digit' has no meaning with"
    yield {"d": digit()}, {"length": 0}, "length=0 is too small"
    yield {"d": digit()}, {"clip": (1.0, 0.0)}, r"clip=\[1.0, 0.0\] is not an interval"


@pytest.mark.parametrize(("components", "arguments", "message"), list(error_cases()))
def test_errors(components, arguments, message):
    with pytest.raises(ValueError, match=message):
        Combined(components=components, **arguments)


def test_two_tags_of_one_kind_with_two_seeds():
    source = Combined(components={"a": tags(), "b": tags(seed=1)}, keep_parts=True)
    batch = everything(source, "val")
    correlation = torch.corrcoef(torch.stack([batch.parts["a"].flatten(), batch.parts["b"].flatten()]))
    assert correlation[0, 1].abs() < 0.02
