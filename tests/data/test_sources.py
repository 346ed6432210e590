"""What every source promises, held against each of them."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saelab.data import MNIST, Batch, Combined, Loops, LowBitTag, LowFreqTag, NoiseTags, Toy

SMALL = {"images_per_class": 7}


def everything(**shared):
    return Combined(
        components={
            "digit": MNIST(normalize=False, jitter_crop=2, rotation_degrees=15, gaussian_std=0.1, **shared),
            "noise": NoiseTags(normalize=False, gaussian_std=0.1, **SMALL, **shared),
            "clouds": LowFreqTag(normalize=False, gaussian_std=0.1, **SMALL, **shared),
            "bits": LowBitTag(normalize=False, gaussian_std=0.1, **SMALL, **shared),
            "loop": Loops(train_length=500, **shared),
        },
        keep_parts=True,
        length=600,
    )


MAKERS = {
    "mnist": lambda: MNIST(),
    "mnist_augmented": lambda: MNIST(jitter_crop=2, rotation_degrees=15, gaussian_std=0.1, max_brightness=0.9),
    "noise_tags": lambda: NoiseTags(**SMALL),
    "noise_tags_noisy": lambda: NoiseTags(**SMALL, gaussian_std=0.1, distribution="normal", augment_eval=True),
    "lowfreq_tag": lambda: LowFreqTag(**SMALL),
    "lowbit_tag": lambda: LowBitTag(**SMALL, classes=[7, 1]),
    "loops": lambda: Loops(train_length=300, val_length=50, test_length=60),
    "combined": everything,
    "toy": lambda: Toy(train_length=300, val_length=50, test_length=60),
    "toy_trees": lambda: Toy(
        train_length=300,
        d=16,
        n_features=60,
        rates="zipf",
        trees=4,
        depth=2,
        correlation=0.3,
        scale_by_parent=True,
        amplitude="folded_normal",
        amplitude_std=0.3,
        sparse_scale=1.7,
        dense_dim=3,
        dense="swiss_roll",
        angle=30,
        noise_std=0.1,
    ),
    "toy_exactly_k": lambda: Toy(
        sparse="exactly_k", dense_dim=4, dense="torus", amplitude="uniform", amplitude_std=0.2
    ),
    "toy_dense": lambda: Toy(n_features=0, dense_dim=3, dense="sphere", dense_scale=2.5),
}


@pytest.fixture(scope="module", params=MAKERS)
def source(request):
    made = MAKERS[request.param]()
    made.prepare_data()
    made.setup()
    return made


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    return {"x": batch.x, "y": batch.y, "index": batch.index, **batch.labels, **batch.parts}


def assert_same(a: Batch, b: Batch) -> None:
    a, b = tensors(a), tensors(b)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def rows(batch: Batch, chosen) -> Batch:
    pick = {k: {n: v[chosen] for n, v in d.items()} for k, d in (("labels", batch.labels), ("parts", batch.parts))}
    return Batch(batch.x[chosen], batch.y[chosen], batch.index[chosen], **pick)


def test_shapes_types_and_declarations(source):
    for split in source.splits:
        batch = source.batch(split, torch.arange(5))
        assert batch.x.shape == (5, *source.input_shape)
        assert batch.x.dtype == torch.float32
        assert batch.x.is_contiguous()
        assert torch.isfinite(batch.x).all()
        assert batch.index.tolist() == [0, 1, 2, 3, 4]
        assert batch.labels.keys() == source.families.keys()
        for name, family in source.families.items():
            label = batch.labels[name]
            if family.classes:
                assert label.dtype == torch.int64
                assert label.shape == (5,)
                assert 0 <= label.min() <= label.max() < len(family.classes)
            else:
                assert label.shape == (5, len(family.factors))
        if batch.y.dtype == torch.int64:
            assert batch.y.max() < source.n_out
        else:
            assert batch.y.shape == (5, source.n_out)


@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_item_does_not_depend_on_its_batch(source, data):
    split = data.draw(st.sampled_from(source.splits))
    index = data.draw(st.lists(st.integers(0, source.size(split) - 1), min_size=1, max_size=70))
    epoch = data.draw(st.integers(0, 5))
    together = source.batch(split, torch.tensor(index), epoch)
    i = data.draw(st.integers(0, len(index) - 1))
    assert_same(source.batch(split, torch.tensor(index[i : i + 1]), epoch), rows(together, [i]))
    assert_same(
        source.batch(split, torch.tensor(index[i:][::-1]), epoch), rows(together, list(range(i, len(index)))[::-1])
    )


def test_an_item_does_not_depend_on_the_number_of_threads(source):
    index = torch.arange(min(300, source.size("train")))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = source.batch("train", index, 1)
        torch.set_num_threads(2)
        two = source.batch("train", index, 1)
    finally:
        torch.set_num_threads(threads)
    assert_same(one, two)


def test_a_second_object_gives_the_same(source, request):
    again = MAKERS[request.node.callspec.params["source"]]()
    again.prepare_data()
    for split in source.splits:
        assert_same(source.batch(split, torch.arange(9), 3), again.batch(split, torch.arange(9), 3))


def test_only_train_changes_with_the_epoch(source):
    for split in source.splits:
        if split != "train":
            assert_same(source.batch(split, torch.arange(8), 0), source.batch(split, torch.arange(8), 4))


def test_serving_changes_nothing(source):
    index = torch.arange(6)
    first = source.batch("train", index, 2)
    for epoch in (0, 1, 2):
        source.batch("train", index, epoch).x.fill_(-1)
    assert_same(first, source.batch("train", index, 2))


def test_bad_splits_and_items(source):
    with pytest.raises(ValueError, match=r"split='tset' is unknown .* train, val, test"):
        source.batch("tset", torch.arange(2))
    with pytest.raises(ValueError, match="split='x' is unknown"):
        source.loader("x")
    n = source.size("test")
    with pytest.raises(IndexError, match=f"item {n} is not in 'test'"):
        source.batch("test", torch.tensor([0, n]))
    with pytest.raises(IndexError, match="item -1"):
        source.batch("test", torch.tensor([-1]))


def test_loaders_cover_every_split(source):
    source.batch_size = 64
    assert source.train_dataloader().shuffle
    for split, loader in {"val": source.val_dataloader(), "test": source.test_dataloader()}.items():
        assert torch.cat([b.index for b in loader]).tolist() == list(range(source.size(split)))


@pytest.mark.parametrize("cls", [MNIST, NoiseTags, LowFreqTag, LowBitTag, Loops])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "oneshot"}, r"target='oneshot' is unknown; choose one of"),
        ({"device": "gpu"}, r"device='gpu' is no torch device; try cpu"),
    ],
)
def test_shared_errors(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_device_is_said():
    with pytest.raises(ValueError, match=r"device='cuda' is not available .* set device=cpu"):
        NoiseTags(device="cuda")


def test_arguments_are_keywords_only():
    for cls in (MNIST, NoiseTags, LowFreqTag, LowBitTag, Loops, Combined, Toy):
        with pytest.raises(TypeError):
            cls(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_same_items(source, request):
    if request.node.callspec.params["source"] != "noise_tags":
        pytest.skip("one source is enough here")
    gpu = NoiseTags(**SMALL, device="cuda")
    a, b = source.batch("train", torch.arange(70), 2), gpu.batch("train", torch.arange(70), 2)
    assert torch.allclose(a.x, b.x.cpu(), atol=1e-6)
    assert torch.equal(a.y, b.y.cpu())
