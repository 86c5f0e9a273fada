"""Textures from files are used once each, never across splits, and never trusted."""

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from backdrop.datasets.texture_files import TextureFiles
from backdrop.datasets.textures import TextureCross, standardised

SIZE = 16
LENGTHS = ((9.5, 10.0), (80.0, 140.0))
WEIGHTS = (0.75, 1.25)


def file_name(length, version):
    return f"final_size-{SIZE}_corr-{length:g}_v{version}.npy"


def texture(length, version):
    noise = np.random.default_rng([int(10 * length), version])
    return 3 + 2 * noise.standard_normal((SIZE, SIZE))


def write(folder, lengths=(9.5, 10.0, 80.0, 140.0), versions=6):
    folder.mkdir(parents=True, exist_ok=True)
    for length in lengths:
        for version in range(1, versions + 1):
            np.save(folder / file_name(length, version), texture(length, version))
    return folder


def pack(folder, archive, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(archive, "w", compression) as file:
        for found in folder.iterdir():
            file.write(found, f"gp-samples/{found.name}")
        file.writestr("__MACOSX/gp-samples/._" + file_name(9.5, 1), b"not an array")
    return archive


def make(path, splits=None, **changes):
    arguments = {"lengths": LENGTHS, "weights": WEIGHTS, "size": SIZE}
    return TextureFiles(path, splits=splits or {"train": 12}, **(arguments | changes))


def used(files, seed, split):
    """Give the (length, version) pairs that the images of a split are made of, by their pixels."""
    count = files.splits[split]
    known = {
        (length, version): standardised(texture(length, version))
        for length in (9.5, 10.0, 80.0, 140.0)
        for version in range(1, 13)
    }
    found = []
    images = files.images(seed, split, range(count))[:, 0]
    for image, label in zip(images, files.labels(range(count)), strict=True):
        small, large = files.classes[label]
        pairs = [
            (one, two)
            for one in known
            for two in known
            if one[0] == small
            and two[0] == large
            and np.allclose(image, WEIGHTS[0] * known[one] + WEIGHTS[1] * known[two], atol=1e-4)
        ]
        assert len(pairs) == 1
        found += pairs[0]
    return found


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "samples")


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_texture_is_used_in_one_image_only(folder, seed):
    counts = Counter(used(make(folder), seed, "train"))
    assert set(counts.values()) == {1}
    assert len(counts) == 24, "twelve images of two scales use all six files of the four lengths"


def test_splits_share_no_texture_whatever_their_seeds(folder):
    files = make(folder, {"train": 4, "validation": 4, "test": 4})
    sets = [
        {pair for seed in (None, 0, 1, 2) for pair in used(files, seed, split)}
        for split in files.splits
    ]
    assert len(set.union(*sets)) == sum(len(one) for one in sets)


def test_seeds_change_which_textures_meet_and_nothing_else(folder):
    files = make(folder)
    first, second = used(files, 0, "train"), used(files, 1, "train")
    assert sorted(first) == sorted(second)
    assert first != second
    again = make(folder).images(0, "train", range(12))
    np.testing.assert_array_equal(files.images(0, "train", range(12)), again)


def test_without_a_seed_the_textures_meet_as_in_the_authors_set(folder):
    # Their class i takes block (choice at the other scale) of the files of each of its lengths.
    pairs = used(make(folder), None, "train")
    meetings = {(pairs[2 * index], pairs[2 * index + 1]) for index in range(12)}
    expected = {
        ((small, 1 + 3 * which_large + j), (large, 1 + 3 * which_small + j))
        for which_small, small in enumerate((9.5, 10.0))
        for which_large, large in enumerate((80.0, 140.0))
        for j in range(3)
    }
    assert meetings == expected


def test_an_image_depends_on_its_index_and_not_on_what_is_made_with_it(folder):
    files = make(folder)
    together = files.images(0, "train", range(12))
    assert together.shape == (12, 1, SIZE, SIZE)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[5:6], files.images(0, "train", range(5, 6)))
    np.testing.assert_array_equal(together[::-1], files.images(0, "train", range(11, -1, -1)))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_an_archive_gives_what_its_files_give(folder, tmp_path, compression):
    archive = pack(folder, tmp_path / "samples.zip", compression)
    expected = make(folder).images(2, "train", range(12))
    np.testing.assert_array_equal(make(archive).images(2, "train", range(12)), expected)


def test_files_may_lie_deeper_and_others_are_ignored(folder, tmp_path):
    expected = make(folder).images(0, "train", range(4))
    folder.rename(tmp_path / "inner")
    (tmp_path / "inner" / "notes.txt").write_text("hello")
    np.save(tmp_path / "inner" / "other.npy", np.zeros(3))
    np.save(tmp_path / "inner" / "final_size-32_corr-9.5_v1.npy", np.zeros((32, 32)))
    np.testing.assert_array_equal(make(tmp_path).images(0, "train", range(4)), expected)


def test_classes_and_labels_are_those_of_the_drawn_cross(folder):
    files, cross = make(folder), TextureCross(SIZE, LENGTHS, WEIGHTS)
    assert files.classes == cross.classes
    np.testing.assert_array_equal(files.labels(range(9)), cross.labels(range(9)))


def test_a_cross_of_three_scales_uses_each_texture_once(tmp_path):
    folder = write(tmp_path, (1.0, 2.0, 5.0, 6.0, 7.0, 30.0, 40.0), versions=12)
    lengths = ((1.0, 2.0), (5.0, 6.0, 7.0), (30.0, 40.0))
    files = TextureFiles(folder, lengths, (0.5, 1.0, 2.0), {"train": 24}, SIZE)
    for scale, choices in enumerate(lengths):
        names = [files._file(0, "train", index, scale) for index in range(24)]
        assert len(set(names)) == 24
        for index, name in enumerate(names):
            length = files.classes[index % 12][scale]
            assert length in choices
            assert f"corr-{length:g}_" in name


def test_versions_are_ordered_as_numbers(tmp_path):
    files = make(write(tmp_path, versions=11), {"train": 4, "validation": 16})
    assert {version for _, version in used(files, None, "train")} == {1, 2}
    assert {version for _, version in used(files, None, "validation")} == set(range(3, 11))


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def object_array(path):
    np.save(path, np.array([[Trap()]], dtype=object), allow_pickle=True)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-7])


def flipped_header(path):
    path.write_bytes(b"\x00" + path.read_bytes()[1:])


def several_arrays(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


def save(change):
    def damage(path):
        np.save(path, change(np.load(path)))

    return damage


def with_value(value):
    def change(array):
        array[3, 4] = value
        return array

    return change


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (object_array, "not a readable"),
        (truncated, "not a readable"),
        (flipped_header, "not a readable"),
        (several_arrays, "floating-point array; got .*NpzFile"),
        (lambda path: path.write_bytes(b""), "not a readable"),
        (save(lambda array: array[:-1]), r"must be 16 × 16; got \(15, 16\)"),
        (save(lambda array: array[None]), r"got \(1, 16, 16\)"),
        (save(lambda array: array.astype(int)), "got int64"),
        (save(lambda array: array.astype(complex)), "got complex128"),
        (save(with_value(np.nan)), "not finite"),
        (save(with_value(-np.inf)), "not finite"),
        (save(lambda array: 0 * array), "is constant"),
    ],
)
def test_a_file_that_is_no_texture_is_refused_by_name(folder, tmp_path, monkeypatch, damage, match):
    monkeypatch.chdir(tmp_path)
    damage(folder / file_name(80, 2))
    for path in (folder, pack(folder, tmp_path / "samples.zip")):
        with pytest.raises(ValueError, match=f"corr-80_v2.npy of .*{match}"):
            make(path).images(0, "train", range(12))
    assert not Path("executed").exists()


def test_a_damaged_member_of_an_archive_is_refused(folder, tmp_path):
    archive = pack(folder, tmp_path / "samples.zip", zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    content[content.index(texture(80, 2).tobytes()) + 100] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"corr-80_v2.npy of .*CRC"):
        make(archive).images(0, "train", range(12))


def test_textures_of_single_precision_are_accepted(folder):
    expected = make(folder).images(0, "train", range(12))
    for path in folder.iterdir():
        np.save(path, np.load(path).astype(np.float32))
    np.testing.assert_allclose(make(folder).images(0, "train", range(12)), expected, atol=1e-5)


def test_too_few_textures_are_counted_in_the_error(folder):
    (folder / file_name(140, 3)).unlink()
    match = r"5 textures of correlation length 140.0; 6 are needed: {'train': 4, 'test': 2}"
    with pytest.raises(ValueError, match=match):
        make(folder, {"train": 8, "test": 4})


def test_a_missing_length_is_named_beside_those_that_are_there(folder):
    match = r"correlation length 60.0; it holds the lengths \[9.5, 10.0, 80.0, 140.0\]"
    with pytest.raises(FileNotFoundError, match=match):
        make(folder, lengths=((9.5, 10.0), (60.0, 140.0)))
    with pytest.raises(FileNotFoundError, match="size 1024"):
        make(folder, size=1024)


def test_a_texture_that_is_there_twice_is_refused(folder):
    np.save(write(folder / "more", (), 0) / file_name(10, 2), texture(10, 2))
    with pytest.raises(ValueError, match="one texture twice"):
        make(folder)


def test_a_path_that_holds_nothing_usable_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder or archive"):
        make(tmp_path / "absent")
    (tmp_path / "samples.zip").write_bytes(b"PK but no archive")
    with pytest.raises(ValueError, match=r"neither a folder nor a readable \.zip"):
        make(tmp_path / "samples.zip")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"splits": {"train": 10}}, "multiple of 4 images.*got 10 for 'train'"),
        ({"splits": {"train": 8, "test": 0}}, "got 0 for 'test'"),
        ({"weights": (1.0,)}, "one per scale"),
        ({"lengths": ((9.5, 10.0), (10.0, 80.0))}, "must not share a length"),
    ],
)
def test_bad_arguments_are_refused_by_name(folder, change, match):
    with pytest.raises(ValueError, match=match):
        make(folder, **change)


def test_unknown_splits_and_indices_out_of_range_are_refused(folder):
    files = make(folder)
    with pytest.raises(ValueError, match="one of \\['train'\\]; got 'test'"):
        files.images(0, "test", range(4))
    for indices in (range(13), range(-1, 3), range(12, 13)):
        with pytest.raises(ValueError, match=r"range\(12\)"):
            files.images(0, "train", indices)
