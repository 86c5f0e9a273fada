"""On a GPU: the same bits again, exact resuming, survivors, and a loop that waits for nothing."""

import json

import pytest
import torch
from torch import nn

from backdrop import Backdrop, place
from backdrop.models import SmallConvNet, TextureNet
from experiments.build import build
from experiments.loop import train_step
from experiments.memory import PeakMemory
from experiments.run import run
from tests.gradients import difference
from tests.test_run import Interrupted, interrupt_after, numbers, store_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_the_same_configuration_gives_the_same_bits(settings, tmp_path):
    first, again = settings("device=cuda"), settings("device=cuda", f"system.runs={tmp_path / 'b'}")
    assert numbers(run(first)) == numbers(run(again))
    assert json.loads((store_of(first).path / "provenance.json").read_text())["processor"]


@pytest.mark.parametrize("regulariser", ["channel_dropback", "channel_dropback_code"])
def test_an_interrupted_run_resumes_to_the_same_numbers(settings, tmp_path, regulariser):
    options = "device=cuda", f"regulariser={regulariser}"
    broken = settings(*options, "system.checkpoint_seconds=0")
    expected = run(settings(*options, f"system.runs={tmp_path / 'whole'}"))
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(3))
    assert numbers(run(broken)) == numbers(expected)


@pytest.mark.parametrize(
    ("model", "masks", "shape"),
    [
        (TextureNet(channels=4, norm="none"), {"fine": 0.9, "coarse": 0.8}, (3, 1, 64, 64)),
        (SmallConvNet(channels=4), {"": 0.5}, (20, 3, 32, 32)),
    ],
)
def test_survivors_are_exact(model, masks, shape):
    dims = "sample" if "" in masks else "sample+spatial"
    place(model, {name: Backdrop(p, dims) for name, p in masks.items()})
    x = torch.randn(shape, dtype=torch.float64, device="cuda")
    assert difference(model.to("cuda", torch.float64), x) < 1e-12


@pytest.mark.parametrize(
    "overrides", [[], ["regulariser=channel_dropback"], ["masks=stratified_samples"]]
)
def test_a_step_waits_for_nothing(settings, overrides):
    tiny = settings("device=cuda", *overrides)
    parts = build(tiny)
    parts.model.to("cuda")
    batch = torch.randn(5, 1, 32, 32, device="cuda"), torch.arange(5, device="cuda") % 4
    train_step(tiny, parts, batch, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(tiny, parts, batch, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_its_memory_is_followed():
    peak = PeakMemory("cuda")
    nn.Linear(10_000, 10_000, device="cuda")
    assert peak.result()["peak_megabytes"] >= 400
