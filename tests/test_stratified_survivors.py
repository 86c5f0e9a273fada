"""The backward pass through survivors that are drawn within groups."""

from functools import partial

import pytest
import torch
from torch import Tensor

from backdrop import Backdrop, StratifiedBackdrop, place, survivors, why_inexact
from backdrop.models import MLP, SmallConvNet
from backdrop.survivors import would_use
from tests.gradients import difference, gradients


def stratified(p: float, groups: Tensor | None = None) -> StratifiedBackdrop:
    layer = StratifiedBackdrop(p)
    layer.groups = groups
    return layer


@pytest.mark.parametrize(
    ("model", "shape", "masks"),
    [
        (SmallConvNet(channels=4), (30, 3, 16, 16), {"": 0.9}),
        (SmallConvNet(channels=4), (30, 3, 16, 16), {"layers.0": 0.5, "layers": 0.8, "": 0.5}),
        (MLP(6, [5, 4]), (50, 6), {"hidden.0": 0.5, "hidden.1": 0.5, "": 0.9}),
    ],
)
def test_survivors_are_exact(model, shape, masks):
    torch.manual_seed(0)
    groups = torch.arange(shape[0]) % 7 == 0
    place(model.double(), {name: stratified(p, groups) for name, p in masks.items()})
    assert difference(model, torch.randn(shape, dtype=torch.float64)) < 1e-12


def test_survivors_draw_in_the_groups_of_each_batch():
    torch.manual_seed(0)
    model, layer = SmallConvNet(channels=4).double(), StratifiedBackdrop(0.98)
    place(model, {"layers": layer, "": Backdrop(0.5, "sample")})
    batches = [
        (torch.randn(n, 3, 16, 16).double(), torch.randint(4, (n,))) for n in (20, 20, 9, 20)
    ]
    found, kept = {}, []
    for on in (False, True):
        skip = survivors(model, always=True) if on else None
        for seed, (x, groups) in enumerate(batches):
            layer.groups = groups
            with layer.recorded() as masks:
                found[on, seed] = gradients(model, x, seed)[1]
            kept += [masks[0].flatten()[groups == group].any() for group in groups.unique()]
        assert skip is None or skip.used == {"layers": "survivors", "": "survivors"}
    assert all(kept)
    for seed in range(len(batches)):
        torch.testing.assert_close(found[True, seed], found[False, seed], rtol=1e-12, atol=1e-13)


def test_what_survivors_would_do_is_known_before_there_are_groups_and_leaves_them_alone():
    shape, used = (32, 3, 32, 32), {}
    for p in (0.1, 0.9):
        for make in (partial(Backdrop, dims="sample"), stratified):
            model, layer = SmallConvNet(channels=64), make(p)
            place(model, {"": layer})
            assert why_inexact(model, shape) is None
            used.setdefault(p, []).append(would_use(model, shape)[""])
        assert layer.groups is None
        layer.groups = torch.zeros(5)
        assert would_use(model, shape)[""] == used[p][1]
        assert layer.groups.shape == (5,)
    assert used == {0.1: ["dense", "dense"], 0.9: ["survivors", "survivors"]}


@pytest.mark.parametrize(
    ("error", "groups"), [(RuntimeError, None), (ValueError, torch.zeros(3, dtype=torch.long))]
)
def test_under_survivors_groups_are_refused_as_without(error, groups):
    model = SmallConvNet(channels=4)
    place(model, {"": stratified(0.9, groups)})
    with survivors(model, always=True), pytest.raises(error, match="groups"):
        model(torch.randn(6, 3, 16, 16))
    model.eval()
    assert model(torch.randn(6, 3, 16, 16)).isfinite().all()
