import idx_files
import numpy as np
import pytest
import torch

from saelab.data import MNIST, LowFreqTag, spectrum


@pytest.fixture(scope="module")
def source():
    return LowFreqTag(images_per_class=100, normalize=False)


def test_statistics_before_the_crop(source):
    pictures = source.base_pictures()
    assert pictures.shape == (1000, 36, 36)
    assert abs(pictures.mean() - 0.5) < 2e-3
    assert abs(pictures.std() - 0.2) < 4e-3
    clipped = ((pictures == 0) | (pictures == 1)).float().mean()
    assert 0.003 < clipped < 0.02


def test_pictures_differ_in_phase_alone(source):
    white = torch.randn(4, 36, 36, generator=torch.Generator().manual_seed(0))
    pictures = torch.fft.rfft2(spectrum.random_phase(source.magnitude(), white))
    loudest = (
        source.magnitude().flatten().argsort(descending=True)[1:150]
    )  # without the mean; weak ones drown in clipping
    logs = pictures.abs().log().flatten(1)[:, loudest]
    assert torch.corrcoef(torch.cat([logs, source.magnitude().log().flatten()[None, loudest]])).min() > 0.95
    turn = (pictures / torch.fft.rfft2(white)).flatten(1)[:, loudest].angle().abs()
    assert turn.mean() < 0.1


def test_magnitude_equals_numpy_one_digit_at_a_time():
    digits = MNIST().originals("train", torch.arange(300))
    expected = np.mean([np.abs(np.fft.rfft2(np.pad(d, 4))) for d in digits.numpy()], axis=0)
    assert np.allclose(spectrum.mean_magnitude(digits, 36).numpy(), expected, atol=1e-3)


def test_the_boost_by_hand():
    magnitude = torch.ones(36, 19)
    assert torch.allclose(spectrum.boost_low(magnitude, 0.0), magnitude)
    boosted = spectrum.boost_low(magnitude, 0.8)
    assert boosted.mean() == pytest.approx(1, abs=1e-5)
    far = np.hypot(0.5, 0.5)
    expected = ((1 / 36) / (3 / 36 / far + 1 / 36)) ** -0.8
    assert boosted[0, 0] / boosted[3, 0] == pytest.approx(expected, rel=1e-4)
    assert boosted[33, 0] == pytest.approx(boosted[3, 0].item())


def test_low_frequencies_dominate_more_with_a_boost():
    def roughness(boost):
        x = LowFreqTag(images_per_class=10, lowfreq_boost=boost, normalize=False).base_pictures()
        return (x[:, 1:] - x[:, :-1]).square().mean()

    assert roughness(2.0) < roughness(0.8) < roughness(0.0)


def test_training_moves_the_window_everywhere(source):
    base = source.base_pictures()
    index = torch.arange(source.size("train"))
    moved = source.batch("train", index, 3).x[:, 0]
    still = source.batch("val", index).x[:, 0]
    assert torch.equal(still, base[:, 4:32, 4:32])
    counts = torch.stack(
        [
            (base[:, 4 + dy : 32 + dy, 4 + dx : 32 + dx] == moved).flatten(1).all(1).sum()
            for dy in range(-2, 3)
            for dx in range(-2, 3)
        ]
    )
    assert counts.sum() == 1000
    assert ((counts - 40) ** 2 / 40).sum() < 55  # chi^2 with 24 degrees, p ~ 3e-4


def test_no_jitter_is_the_centre():
    source = LowFreqTag(images_per_class=2, jitter_max=0)
    assert torch.equal(source.batch("train", torch.arange(20), 1).x, source.batch("val", torch.arange(20)).x)


def test_the_spectrum_comes_from_the_named_digits(tmp_path, monkeypatch):
    idx_files.accept_small_files(monkeypatch)
    idx_files.write(tmp_path, gz=True)
    small = MNIST(dir=str(tmp_path))
    source = LowFreqTag(images_per_class=2, spectrum_from=small, lowfreq_boost=0.0)
    expected = spectrum.mean_magnitude(small.originals("train", torch.arange(54)), 36)
    assert torch.allclose(source.magnitude(), expected, rtol=1e-4)
    few = [LowFreqTag(spectrum_from=small, magnitude_num_images=5, magnitude_seed=s).magnitude() for s in (0, 0, 1)]
    assert torch.equal(few[0], few[1])
    assert not torch.equal(few[0], few[2])


@pytest.mark.parametrize("side", [27, 26, 35])
def test_sides_without_equal_margins(side):
    with pytest.raises(ValueError, match=f"side={side} must be 28 plus an even number"):
        spectrum.mean_magnitude(torch.zeros(2, 28, 28), side)


def test_a_magnitude_is_two_dimensional():
    with pytest.raises(ValueError, match=r"magnitude of shape \(3,\)"):
        spectrum.boost_low(torch.ones(3), 0.8)
