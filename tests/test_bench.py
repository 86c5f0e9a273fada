"""Benchmarks: how times are taken, what the table holds, and that the comparisons run."""

import math
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from backdrop import Backdrop
from backdrop.losses import auc_loss
from experiments.bench import comparisons, large_image, sampler, survivors
from experiments.bench.auc_loss import full_matrix
from experiments.bench.memory import peak_bytes, saved_bytes
from experiments.bench.published import PublishedBackdrop
from experiments.bench.table import Setting, add, drop, noted, path_of, rows
from experiments.bench.timing import alternating, paired_ratio

SMOKE = Setting(smoke=True)


def test_variants_are_timed_in_turn_and_by_the_call():
    calls: list[str] = []

    def wait(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    variants = {"slow": partial(wait, "slow", 0.03), "quick": partial(wait, "quick", 0.002)}
    times = alternating(variants, seconds=0, fewest=4)
    assert {name: len(values) for name, values in times.items()} == {"slow": 4, "quick": 4}
    assert min(times["slow"]) >= 0.03
    assert 0.002 <= np.median(times["quick"]) < 0.02
    last = [i for i, name in enumerate(calls) if name == "slow"][2:]
    assert any(calls[i:j].count("quick") for i, j in pairwise(last))


def test_ratios_are_taken_within_rounds():
    assert paired_ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == (2.0, 2.0, 2.0)


def test_saved_memory_counts_shared_storage_once():
    x = torch.ones(1000, requires_grad=True)
    assert saved_bytes(lambda: x * x) == 4000
    assert saved_bytes(lambda: x.exp() * 2) == 4000
    assert saved_bytes(lambda: x + 1) == 0


def test_the_peak_of_a_step_is_what_it_needs_at_most():
    def step(megabytes: int) -> None:
        for _ in range(3):
            torch.ones(megabytes, 2**18)

    step(1)
    found = [peak_bytes(partial(step, megabytes)) / 2**20 for megabytes in (64, 192)]
    if any(map(math.isnan, found)):
        pytest.skip("nothing tells the peak of memory here")
    assert found == pytest.approx([64, 192], rel=0.15)


def test_a_comparison_that_runs_again_replaces_its_rows(tmp_path):
    path, times = tmp_path / "here.csv", {"dense": [2.0, 4.0], "ours": [1.0, 1.0]}
    for repeat in range(2):
        for threads in (1, 2):
            setting = Setting(threads=threads)
            drop(path, "a", setting)
            add(path, rows("a/one", f"case {repeat}", times, "dense", n=5), setting)
            add(path, [noted("ab", "", "", "failed:\n why")], setting)
    table = pd.read_csv(path)
    assert table["comparison"].tolist().count("ab") == 4
    own = table[table["comparison"] == "a/one"]
    assert sorted(zip(own["case"], own["threads"], own["variant"], strict=True)) == [
        ("case 1", 1, "dense"), ("case 1", 1, "ours"), ("case 1", 2, "dense"), ("case 1", 2, "ours")
    ]  # fmt: skip
    assert own[own["variant"] == "ours"]["relative"].tolist() == [0.375, 0.375]
    assert set(table["note"].dropna()) == {"failed: why"}


def test_a_comparison_that_fails_or_dies_leaves_a_row_and_the_others_go_on(tmp_path, monkeypatch):
    def fail(setting):
        yield rows("sampler", "x", {"a": [1.0]}, "a")
        raise ValueError("no luck")

    monkeypatch.setitem(comparisons.COMPARISONS, "sampler", fail)
    path = path_of(tmp_path, "cpu")
    failure = comparisons.run("sampler", SMOKE, path)
    assert failure == "failed: ValueError: no luck"
    assert len(pd.read_csv(path)) == 1
    monkeypatch.setattr(comparisons, "run", "no function")
    assert "died" in comparisons.run_apart("auc_loss", SMOKE, path)
    assert pd.read_csv(path)["note"].dropna().str.contains("died").all()


@pytest.mark.parametrize("name", ["survivors", "auc_loss", "sampler"])
def test_comparisons_give_rows_with_times_and_ratios(name):
    found = [row for case in comparisons.COMPARISONS[name](SMOKE) for row in case]
    assert found
    assert all(row["seconds_low"] <= row["seconds"] <= row["seconds_high"] for row in found)
    assert any(row.get("relative") == 1 for row in found)
    assert {row["comparison"].split("/")[0] for row in found} == {name}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_cost", "defaults", "neighbours", "sweep", "large_image"])
def test_comparisons_of_whole_runs_give_rows(name):
    found = [row for case in comparisons.COMPARISONS[name](SMOKE) for row in case]
    assert found
    assert all(row["seconds"] > 0 for row in found)


def test_a_step_that_needs_more_memory_than_it_may_take_says_so(tmp_path):
    image = tmp_path / "image.npy"
    np.save(image, np.random.default_rng(0).normal(size=(1, 1, 2048, 2048)).astype(np.float32))
    words = ["--image", str(image), "--dense", "--memory", "1.2", "--threads", "1"]
    command = [sys.executable, "-m", large_image.__name__, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (large_image.DOES_NOT_FIT, "does not fit in 1.2 GiB\n")


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_other_errors_are_not_taken_for_want_of_memory(error, is_so):
    assert large_image.out_of_memory(error) is is_so


def test_the_published_formulation_is_our_layer():
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    gradients = []
    for layer in (Backdrop(0.7, "sample+spatial"), PublishedBackdrop(0.7, (0, 2, 3))):
        torch.manual_seed(0)
        y = layer(x)
        assert torch.equal(y, x)
        gradients.append(torch.autograd.grad(y.square().sum(), x)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize("surrogate", ["sigmoid", "squared_hinge"])
def test_the_full_pair_matrix_is_the_same_loss(surrogate):
    torch.manual_seed(0)
    scores, targets = torch.randn(50), torch.arange(50) % 5 == 0
    torch.testing.assert_close(
        full_matrix(surrogate, scores, targets), auc_loss(scores, targets, surrogate)
    )


def test_dense_draws_have_the_covariance_of_separable_ones():
    factor = sampler.dense_factor(8, 2.0)
    covariance = (factor @ factor.T).reshape(8, 8, 8, 8)
    assert covariance[1, 2, 4, 6] == pytest.approx(np.exp(-(3**2 + 4**2) / (2 * 2.0**2)))
    assert sampler.dense_texture(8, factor, np.random.default_rng(0)).shape == (8, 8)


def test_variants_of_a_step_start_from_one_model():
    task = survivors.TASKS[1]
    steps = [survivors._Step(task, SMOKE) for _ in range(2)]
    weights = [[p.clone() for p in step.model.parameters()] for step in steps]
    assert all(map(torch.equal, *weights))
    assert isinstance(steps[0].model, nn.Module)
    steps[0]()
    assert not all(map(torch.equal, steps[0].model.parameters(), weights[0]))
