import hashlib
import os
from functools import partial
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from backdrop.datasets import tabular
from backdrop.datasets.tabular import TabularBinary, TabularDataset

SIZES = {"train": 60, "validation": 30, "test": 20}
DIGITS = {"train": 400, "validation": 500, "test": 500, "evaluation_positives": 50}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small pendigits: feature 1 is a row's number, feature 3 its label."""
    number = 0
    for name, rows in (("pendigits", 100), ("pendigits.t", 40)):
        lines = []
        for k in range(rows):
            lines.append(f"{k % 10} 1:{number} 3:{k % 10} 16:0.5")
            number += 1
        text = "\n".join(lines) + "\n"
        (tmp_path / "libsvm").mkdir(exist_ok=True)
        (tmp_path / "libsvm" / name).write_text(text)
        monkeypatch.setitem(tabular.SHA256, name, hashlib.sha256(text.encode()).hexdigest())
    monkeypatch.setitem(
        tabular.TABLES,
        "pendigits",
        tabular._Table(16, range(10), (100, 40), "multiclass/pendigits"),
    )
    return tmp_path


@pytest.fixture
def raw(monkeypatch):
    """Leave features as they are in the files, so that rows can be told by their number."""
    monkeypatch.setattr(tabular, "_standardised", lambda values, _: values)


@pytest.mark.usefixtures("raw")
def test_libsvm_files_are_read_into_features_and_targets(folder):
    dataset = TabularDataset("pendigits", **SIZES)
    assert dataset.input_shape == (16,)
    for split, size in SIZES.items():
        inputs, targets = dataset.load(split, folder)
        assert (inputs.shape, inputs.dtype) == ((size, 16), torch.float32)
        assert torch.equal(inputs[:, 2], targets.float())
        assert inputs[:, 15].unique().tolist() == [0.5]
        assert not inputs[:, [1, *range(3, 15)]].any()


@pytest.mark.usefixtures("raw")
def test_sets_are_proportional_disjoint_and_from_their_files(folder):
    loads = {s: TabularDataset("pendigits", **SIZES).load(s, folder) for s in SIZES}
    for split, (_, targets) in loads.items():
        assert targets.bincount().tolist() == [SIZES[split] // 10] * 10
    numbers = {split: set(inputs[:, 0].tolist()) for split, (inputs, _) in loads.items()}
    assert len(set.union(*numbers.values())) == sum(SIZES.values())
    assert max(numbers["train"] | numbers["validation"]) < 100 <= min(numbers["test"])


@pytest.mark.usefixtures("raw")
def test_the_seed_changes_the_training_set_only(folder):
    first, second = (TabularDataset("pendigits", **SIZES, seed=seed) for seed in (0, 1))
    same = {s: torch.equal(first.load(s, folder)[0], second.load(s, folder)[0]) for s in SIZES}
    assert same == {"train": False, "validation": True, "test": True}


def test_all_rows_can_be_used(folder):
    dataset = TabularDataset("pendigits", train=73, validation=27, test=40)
    assert [len(dataset.load(split, folder)[1]) for split in SIZES] == [73, 27, 40]


def test_features_are_standardised_by_the_training_set(folder):
    dataset = TabularDataset("pendigits", **SIZES)
    train, test = (dataset.load(split, folder)[0] for split in ("train", "test"))
    assert torch.allclose(train.mean(0), torch.zeros(16), atol=1e-6)
    varies = train.std(0, correction=0) > 0
    assert varies.nonzero().flatten().tolist() == [0, 2]
    assert torch.allclose(train[:, varies].std(0, correction=0), torch.ones(2))
    assert test[:, 0].min() > train[:, 0].max()
    assert not test[:, ~varies].any()


def test_a_feature_that_is_constant_in_training_is_only_shifted():
    train = np.full((30, 2), -0.866667)
    train[:, 1] += np.arange(30) % 2
    assert train[:, 0].std() > 0  # by rounding
    values = tabular._standardised(np.array([[-0.666667, -0.366667]]), train)
    assert values[0].tolist() == pytest.approx([0.2, 0.0])


def test_one_class_against_the_rest_has_the_positives_asked_for(tmp_path):
    dataset = TabularBinary("digits", 3, 0.01, **DIGITS)
    counts = {s: dataset.load(s, tmp_path)[1].bincount().tolist() for s in SIZES}
    assert counts == {"train": [396, 4], "validation": [450, 50], "test": [450, 50]}


def test_digits_need_no_files_and_share_no_rows(tmp_path):
    dataset = TabularDataset("digits", train=797, validation=500, test=500)
    dataset.prepare(tmp_path)
    rows = torch.cat([dataset.load(split, tmp_path)[0] for split in SIZES])
    assert rows.shape == (1797, 64)
    assert len(rows.unique(dim=0)) == 1797
    assert not list(tmp_path.iterdir())


def test_too_few_positives_are_reported(tmp_path):
    dataset = TabularBinary("digits", 3, **DIGITS | {"evaluation_positives": 100})
    with pytest.raises(ValueError, match=r"digits/validation: 100 rows of target 1 .* 83 are left"):
        dataset.load("train", tmp_path)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (TabularDataset, {"name": "iris"}, "name must be one of digits, a9a, .*; got 'iris'"),
        (TabularDataset, {"train": 0}, "train must be at least 1; got 0"),
        (TabularDataset, {"train": 1000}, r"train \+ validation \+ test must be at most 1797"),
        (TabularDataset, {"name": "a9a", "test": 20000}, "test must be at most 16281"),
        (
            TabularBinary,
            {"name": "letter", "positive": 0},
            "positive must be one of 1, 2, .*; got 0",
        ),
        (TabularBinary, {"positive_fraction": 1.0}, "positive_fraction .* below 1; got 1.0"),
        (TabularBinary, {"evaluation_positives": 0}, "must be at least 1; got 0"),
        (TabularBinary, {"test": 50}, "test must be larger than its 100 positives; got 50"),
    ],
)
def test_an_argument_that_cannot_be_met_is_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"name": "digits", "train": 300, "validation": 500, "test": 500, **arguments})


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="train, validation, test; got 'valid'"):
        TabularDataset("digits").load("valid", tmp_path)


def test_another_file_than_the_known_one_is_refused(folder):
    with (folder / "libsvm" / "pendigits.t").open("a") as file:
        file.write("1 1:1\n")
    dataset = TabularDataset("pendigits", **SIZES)
    for ask in (dataset.prepare, partial(dataset.load, "train")):
        with pytest.raises(ValueError, match=r"pendigits\.t is damaged .* SHA-256"):
            ask(folder)


@pytest.mark.parametrize("prepared", [True, False])
def test_missing_files_are_fetched_once_and_checked(folder, monkeypatch, prepared):
    files = {name: (folder / "libsvm" / name).read_bytes() for name in ("pendigits", "pendigits.t")}
    empty, asked = folder / "empty", []

    def fetch(url, file, sha256, progress):
        asked.append((url, sha256))
        Path(file).write_bytes(files[url.rpartition("/")[2]])

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    dataset = TabularDataset("pendigits", **SIZES)
    if prepared:
        dataset.prepare(empty)
        assert len(asked) == 2
    assert torch.equal(dataset.load("train", empty)[0], dataset.load("train", folder)[0])
    dataset.prepare(empty)
    site = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass"
    assert asked == [(f"{site}/{name}", tabular.SHA256[name]) for name in files]


@pytest.mark.parametrize("error", [URLError("no network"), RuntimeError("invalid hash value")])
def test_a_failed_download_is_reported_with_what_to_do(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    dataset = TabularDataset("a9a")
    for ask in (dataset.prepare, partial(dataset.load, "train")):
        with pytest.raises(
            FileNotFoundError, match=r"download failed .*put there https://.*/binary/a9a"
        ):
            ask(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "positive"), [("a9a", 1), ("letter", 1), ("pendigits", 0)])
def test_the_real_files_have_the_known_rows_and_enough_positives(name, positive):
    folder = Path(os.environ.get("DATA", "data"))
    dataset = TabularBinary(name, positive, 0.01, train=1000, validation=1000, test=1000)
    try:
        dataset.prepare(folder)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    features, labels, pools = tabular._read(dataset.table, folder)
    assert (sum(pools["train"]), sum(pools["test"])) == dataset.table.rows
    assert features.shape == (len(labels), *dataset.input_shape)
    assert np.unique(labels).tolist() == list(dataset.table.labels)
    for split, positives in (("train", 10), ("validation", 100), ("test", 100)):
        assert dataset.load(split, folder)[1].sum() == positives
