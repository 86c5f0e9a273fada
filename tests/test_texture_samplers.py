"""Textures have the covariance that theory gives them, before standardisation."""

import numpy as np
import pytest
import torch

from backdrop.datasets import texture_samplers
from backdrop.datasets.texture_samplers import (
    ENVELOPE,
    ShotNoise,
    autocovariance,
    check_published,
    effective_length,
    gaussian_texture,
    published_texture,
    standardised,
)
from backdrop.streams import generator

FULL = 1024


def sample_autocovariance(textures, lag):
    """Give, for each texture, the mean product of pixels ``lag`` apart, over both axes."""
    across = textures[..., lag:] * textures[..., : textures.shape[-1] - lag]
    down = textures[:, lag:] * textures[:, : textures.shape[-2] - lag]
    return (across.mean((1, 2), dtype=np.float64) + down.mean((1, 2), dtype=np.float64)) / 2


def bartlett_deviation(size, length, lag):
    """Give the standard deviation of the mean product of pixels ``lag`` apart along one axis.

    For a Gaussian field of known mean 0, cov(f₀ f_l, f_d f_{d+l}) = r(d)² + r(d + l) r(d - l)
    (Bartlett); both terms are products over the axes. The mean over two axes deviates no more.
    """

    def r(distance):
        return np.exp(-(distance**2) / (2 * length**2))

    def distances(count):
        return np.subtract.outer(np.arange(count), np.arange(count)).astype(float)

    along, other = distances(size - lag), distances(size)
    squares = (r(along) ** 2).mean() + (r(along + lag) * r(along - lag)).mean()
    return np.sqrt(squares * (r(other) ** 2).mean())


@pytest.mark.parametrize(
    ("construction", "size", "length", "neighbour", "draws"),
    [
        ("gaussian", 256, 2.375, 2.75, 20),
        ("gaussian", 256, 20.0, 35.0, 60),
        ("gaussian", 512, 3.77, 3.97, 20),
        ("published", 512, 80.0, 140.0, 150),
    ],
)
def test_gaussian_fields_have_their_autocovariance(construction, size, length, neighbour, draws):
    sampler = texture_samplers.SAMPLERS[construction]
    noise = generator(0, "test", construction, str(length))
    textures = np.stack([sampler(size, length, noise) for _ in range(draws)])
    ell = length if construction == "gaussian" else effective_length(length, size)
    told_apart = False
    for lag in np.unique(np.rint(ell * np.array([0, 0.5, 1, 1.5, 2, 3])).astype(int)):
        measured = sample_autocovariance(textures, lag).mean()
        tolerance = 5 * bartlett_deviation(size, ell, lag) / draws**0.5
        assert abs(measured - autocovariance(construction, length, lag, size)) < tolerance
        other = autocovariance(construction, neighbour, lag, size)
        told_apart |= bool(abs(measured - other) > tolerance)
    assert told_apart, "the tolerance must not let the neighbouring length pass"


@pytest.fixture(scope="module", params=[9.5, 10.0])
def shot_noise(request):
    """Give a correlation length and 12 textures of it at the published size."""
    length = request.param
    noise = generator(0, "test", "published", str(length))
    return length, np.stack([published_texture(FULL, length, noise) for _ in range(12)])


def standard_error(values):
    return values.std(ddof=1) / len(values) ** 0.5


def test_shot_noise_has_the_autocovariance_of_its_effective_length(shot_noise):
    length, textures = shot_noise
    neighbour = 19.5 - length
    told_apart = False
    for lag in (0, 4, 7, 9, 12, 16, 24):
        measured = sample_autocovariance(textures, lag)
        tolerance = 5 * standard_error(measured)
        difference = measured.mean() - autocovariance("published", length, lag)
        assert abs(difference) < tolerance
        other = measured.mean() - autocovariance("published", neighbour, lag)
        told_apart |= bool(abs(other) > tolerance)
    assert told_apart, "the tolerance must not let the neighbouring length pass"


def test_shot_noise_has_heavier_tails_than_a_gaussian_field(shot_noise):
    # A sum of ν patches per squared patch width, each Gaussian under the envelope e, has the fourth
    # cumulant 3 ν ∫e⁴ and the variance ν ∫e², hence the excess kurtosis 3 ENVELOPE / (π ν).
    length, textures = shot_noise
    shots = ShotNoise(FULL, length)
    per_patch = shots.number * (shots.patch - 1) ** 2 / (FULL - shots.patch) ** 2
    excess = 3 * ENVELOPE / (np.pi * per_patch)
    assert excess == pytest.approx(1.2, abs=0.03)
    fourth = (textures.astype(np.float64) ** 4).mean((1, 2))
    assert abs(fourth.mean() - 3 - excess) < 5 * standard_error(fourth)
    assert fourth.mean() - 3 > 5 * standard_error(fourth)


def test_shot_noise_repeats_after_the_size_less_the_strip(shot_noise):
    length, textures = shot_noise
    strip = ShotNoise(FULL, length).strip
    assert strip == {9.5: 59, 10.0: 62}[length]
    np.testing.assert_array_equal(textures[:, :strip], textures[:, -strip:])
    np.testing.assert_array_equal(textures[:, :, :strip], textures[:, :, -strip:])
    assert not np.array_equal(textures[:, : strip + 1], textures[:, -strip - 1 :])


@pytest.mark.parametrize("length", [1.0, 3.0, 7.9, 9.5, 10.0, 30.0, 49.9])
def test_the_covariance_of_patches_is_that_of_the_effective_length(length):
    shots = ShotNoise(FULL, length)
    factor = texture_samplers._patch_factor(shots).double().numpy()
    patch = factor @ factor.T
    lags = np.arange(shots.patch)
    one_axis = np.array([np.trace(patch, lag) for lag in lags]) / np.trace(patch)
    np.testing.assert_allclose(one_axis, autocovariance("published", length, lags), atol=5e-5)
    variance = shots.number / (FULL - shots.patch) ** 2 * np.trace(patch) ** 2
    assert variance == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("length", [50.0, 80.0, 140.0, 300.0])
def test_the_covariance_of_enlarged_fields_is_that_of_the_effective_length(length):
    factor = texture_samplers._enlarged_factor(FULL, length).double().numpy()
    theory = autocovariance(
        "published", length, np.subtract.outer(np.arange(FULL), np.arange(FULL))
    )
    np.testing.assert_allclose(factor @ factor.T, theory, atol=1.5e-4)


@pytest.mark.parametrize("length", [0.3, 2.375, 35.0, 1000.0])
def test_the_factor_is_the_symmetric_root_of_the_covariance(length):
    root = texture_samplers._covariance_root(200, length)
    distance = np.subtract.outer(np.arange(200), np.arange(200))
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    np.testing.assert_allclose(
        root @ root, autocovariance("gaussian", length, distance), atol=1e-12
    )
    assert np.linalg.eigvalsh(root).min() > -1e-6


@pytest.mark.parametrize(
    ("correlation_length", "pixels"),
    [(9.5, 7.362), (10, 7.743), (80, 79.922), (140, 139.863), (5, 4.418), (8, 6.220)],
)
def test_effective_lengths_are_those_of_the_published_generator(correlation_length, pixels):
    assert effective_length(correlation_length) == pytest.approx(pixels, abs=1e-3)


def test_the_patches_are_as_many_and_as_large_as_in_the_published_generator():
    assert [ShotNoise(FULL, length).patch for length in (5.0, 9.5, 10.0)] == [50, 59, 62]
    assert [ShotNoise(FULL, length).number for length in (9.5, 10.0)] == [5135, 4595]


def test_textures_do_not_depend_on_autocast_or_the_number_of_threads():
    def draw():
        texture_samplers._gaussian_factor.cache_clear()
        return [
            gaussian_texture(256, 9.0, generator(0, "test")),
            published_texture(256, 9.5, generator(0, "test")),
            published_texture(256, 60.0, generator(0, "test")),
        ]

    plain, threads = draw(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            other = draw()
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(plain, other, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert one.dtype == np.float32


def test_standardisation_gives_mean_0_and_deviation_1_even_far_from_them():
    texture = 1000 + 0.1 * gaussian_texture(128, 3.0, generator(0, "test"))
    result = standardised(texture)
    assert result.dtype == np.float32
    assert abs(result.mean(dtype=np.float64)) < 1e-6
    assert result.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "length", "allowed"),
    [(100, 80.0, "multiple of 8"), (24, 50.0, "at least 32"), (117, 9.5, "at least 118")],
)
def test_sizes_that_the_published_construction_lacks_are_refused(size, length, allowed):
    with pytest.raises(ValueError, match=f"{allowed}.*; got {size}"):
        check_published(size, length)
    with pytest.raises(ValueError, match=f"{allowed}.*; got {size}"):
        published_texture(size, length, generator(0, "test"))


def test_an_unknown_construction_is_refused():
    with pytest.raises(ValueError, match=r"'gaussian', 'published'.*got 'fourier'"):
        autocovariance("fourier", 3.0, 1)


@pytest.mark.parametrize("length", [0.0, -5.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda length: gaussian_texture(32, length, generator(0)),
        lambda length: published_texture(FULL, length, generator(0)),
        lambda length: effective_length(length),
        lambda length: autocovariance("gaussian", length, 1),
        lambda length: check_published(FULL, length),
    ],
)
def test_lengths_that_are_not_positive_and_finite_are_refused(ask, length):
    with pytest.raises(ValueError, match=f"length must be positive and finite; got {length}"):
        ask(length)


def test_a_gaussian_texture_without_pixels_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1 pixel; got 0"):
        gaussian_texture(0, 3.0, generator(0))
