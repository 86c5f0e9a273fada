"""Every image of a cross depends on its seed, split and index alone, and shares no texture."""

import resource
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest

from backdrop.datasets import textures
from backdrop.datasets.texture_samplers import (
    gaussian_texture,
    published_texture,
    standardised,
)
from backdrop.datasets.textures import TextureCross
from backdrop.streams import generator

SMALL = TextureCross(64, ((2.0, 3.0), (10.0, 20.0)), (0.75, 1.25))
PUBLISHED = TextureCross(128, ((9.5, 10.0), (80.0, 140.0)), (0.75, 1.25), "published")
THREE = TextureCross(64, ((2.0, 3.0), (6.0, 8.0, 10.0), (20.0, 30.0)), (0.5, 1.0, 2.0))
CROSSES = pytest.mark.parametrize(
    "cross", [SMALL, PUBLISHED, THREE], ids=["gaussian", "published", "three scales"]
)


@CROSSES
def test_an_image_depends_on_its_index_and_not_on_what_is_drawn_with_it(cross):
    together = cross.images(3, "train", range(9))
    assert together.shape == (9, 1, cross.size, cross.size)
    assert together.dtype == np.float32
    backwards = cross.images(3, "train", range(8, -1, -1))
    np.testing.assert_array_equal(together, backwards[::-1])
    np.testing.assert_array_equal(together[1::3], cross.images(3, "train", range(1, 9, 3)))
    for index in (0, 5, 8):
        alone = cross.images(3, "train", range(index, index + 1))
        np.testing.assert_array_equal(together[index : index + 1], alone)
    assert cross.images(3, "train", range(0)).shape == (0, 1, cross.size, cross.size)


def test_seeds_splits_indices_and_scales_have_streams_of_their_own(monkeypatch):
    streams = []

    def recorded(seed, *names):
        streams.append((seed, *names))
        return generator(seed, *names)

    monkeypatch.setattr(textures, "generator", recorded)
    tiny = TextureCross(4, ((1.0, 2.0), (2.0, 3.0)), (1.0, 1.0))
    for seed, split in product((0, 1), ("train", "validation", "test")):
        tiny.images(seed, split, range(40))
    assert len(streams) == len(set(streams)) == 2 * 3 * 40 * 2


def test_images_of_different_seeds_splits_and_indices_are_unrelated():
    drawn = [
        SMALL.images(seed, split, range(8)) for seed, split in product((0, 1), ("train", "test"))
    ]
    images = np.concatenate(drawn)
    # Differences of neighbours are nearly all of the small scale, of which an image holds enough
    # independent blobs; a shared texture would give a correlation near 1.
    correlation = np.corrcoef(np.diff(images).reshape(len(images), -1))[
        np.triu_indices(len(images), 1)
    ]
    assert np.abs(correlation).max() < 0.4


@pytest.mark.parametrize(
    ("lengths", "classes"),
    [
        (((9.5, 10), (80, 140)), [(9.5, 80), (10, 80), (9.5, 140), (10, 140)]),
        (((1, 2, 3),), [(1,), (2,), (3,)]),
        (((1, 2), (3,), (4, 5)), [(1, 3, 4), (2, 3, 4), (1, 3, 5), (2, 3, 5)]),
    ],
)
def test_classes_are_numbered_as_published_and_labels_cycle_through_them(lengths, classes):
    cross = TextureCross(128, lengths, (1.0,) * len(lengths))
    assert cross.classes == classes
    labels = cross.labels(range(2, 12))
    assert labels.dtype == np.int64
    assert labels.tolist() == [index % len(classes) for index in range(2, 12)]


@CROSSES
def test_an_image_is_the_weighted_sum_of_its_standardised_textures(cross):
    sampler = {"gaussian": gaussian_texture, "published": published_texture}[cross.construction]
    for index in (0, 1, 6):
        expected = np.zeros((cross.size, cross.size))
        lengths = cross.classes[cross.labels(range(index, index + 1))[0]]
        for scale, (weight, length) in enumerate(zip(cross.weights, lengths, strict=True)):
            noise = generator(7, "textures", "test", scale, index, str(length))
            expected += weight * standardised(sampler(cross.size, length, noise))
        (image,) = cross.images(7, "test", range(index, index + 1))
        np.testing.assert_allclose(image[0], expected, atol=1e-5)


@pytest.mark.parametrize("construction", ["gaussian", "published"])
def test_textures_are_standardised_over_their_own_image_and_the_sum_is_not(construction):
    one = TextureCross(128, ((9.5, 80.0),), (1.0,), construction).images(0, "train", range(4))
    np.testing.assert_allclose(one.mean((1, 2, 3), dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(one.std((1, 2, 3), dtype=np.float64), 1, atol=1e-6)
    two = TextureCross(128, ((9.5,), (80.0,)), (0.75, 1.25), construction)
    deviations = two.images(0, "train", range(16)).std((1, 2, 3))
    assert (np.abs(deviations - 1.4577) > 1e-3).any()
    assert (deviations**2).mean() == pytest.approx(0.75**2 + 1.25**2, rel=0.1)


def test_integers_and_lists_make_the_same_cross_as_floats_and_tuples():
    same = TextureCross(64, [[2, 3], [10, 20]], [0.75, 1.25])
    assert same == SMALL
    assert hash(same) == hash(SMALL)
    one = same.images(0, "train", range(3))
    np.testing.assert_array_equal(one, SMALL.images(0, "train", range(3)))


def test_the_training_images_of_the_small_task_have_not_changed():
    # Cached images and the results in results/ rest on these numbers.
    cross = TextureCross(256, ((2.375, 2.75), (20.0, 35.0)), (0.75, 1.25))
    images = cross.images(0, "train", range(2))
    known = [
        [-2.2058496, -2.1106155, -1.8466977, -1.5629927, -1.4895293],
        [-0.5936176, -0.3578912, -0.1962741, -0.0772928, 0.0338833],
    ]
    np.testing.assert_allclose(images[:, 0, 128, 60:65], known, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"size": 1}, "size must be at least 2 pixels; got 1"),
        ({"lengths": ()}, "at least one"),
        ({"lengths": ((2.0, 3.0), ())}, "at least one"),
        ({"lengths": ((2.0, 2), (10.0, 20.0))}, "differ"),
        ({"lengths": ((2.0, 0.0), (10.0, 20.0))}, "positive and finite"),
        ({"lengths": ((2.0, 3.0), (10.0, float("inf")))}, "positive and finite"),
        ({"lengths": ((2.0, float("nan")), (10.0, 20.0))}, "positive and finite"),
        ({"weights": (1.0,)}, "must be 2, one per scale"),
        ({"weights": (1.0, -1.0)}, "positive and finite"),
        ({"weights": (1.0, float("nan"))}, "positive and finite"),
        ({"construction": "fourier"}, "'gaussian', 'published'.*got 'fourier'"),
        ({"construction": "published", "lengths": ((9.5,), (20.0,))}, "at least 118; got 64"),
        ({"construction": "published", "lengths": ((2.0,), (80.0,)), "size": 132}, "multiple of 8"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, match):
    arguments = {"size": 64, "lengths": ((2.0, 3.0), (10.0, 20.0)), "weights": (0.75, 1.25)}
    with pytest.raises(ValueError, match=match):
        TextureCross(**(arguments | change))


def test_negative_indices_are_refused():
    with pytest.raises(ValueError, match="negative"):
        SMALL.images(0, "train", range(-1, 2))
    with pytest.raises(ValueError, match="negative"):
        SMALL.labels(range(-4, -1))


SPEED = """
from backdrop.datasets.textures import TextureCross
TextureCross(1024, {lengths}, (0.75, 1.25), "{construction}").images(0, "train", range(100))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("construction", "lengths", "seconds"),
    [
        ("gaussian", ((7.36, 7.74), (80.0, 140.0)), 40),
        ("published", ((9.5, 10.0), (80.0, 140.0)), 180),
    ],
)
def test_a_hundred_large_images_take_little_time_and_memory(construction, lengths, seconds):
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", SPEED.format(lengths=lengths, construction=construction)], check=True
    )
    assert time.perf_counter() - start < seconds
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4 * 2**20  # in KiB
