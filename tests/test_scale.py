"""The module at a scale in pixels: which one it is, and that place finds it."""

import pytest
import torch
import torchvision
from torch import nn

from backdrop import Backdrop, Site, module_at_scale, place


@pytest.mark.parametrize(
    ("pixels", "site"),
    [
        (1, Site("relu", (7, 7), (2, 2))),
        (40, Site("layer1", (43, 43), (4, 4))),
        (100, Site("layer2", (99, 99), (8, 8))),
        (1000, Site("layer4", (435, 435), (32, 32))),
    ],
)
def test_module_at_scale_is_the_last_outermost_of_the_nearest(pixels, site):
    assert module_at_scale(torchvision.models.resnet18(), (1, 3, 224, 224), pixels) == site


def test_module_at_scale_passes_over_modules_that_run_twice():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv1d(1, 1, 3), relu, nn.Conv1d(1, 1, 3), relu)
    assert module_at_scale(model, (1, 1, 20), 5).name == "2"


def test_module_at_scale_refuses_what_it_cannot_find():
    with pytest.raises(ValueError, match="positive, got 0"):
        module_at_scale(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (1, 3, 9, 9), 0)
    with pytest.raises(ValueError, match="no module of Sequential"):
        module_at_scale(nn.Sequential(nn.Flatten()), (1, 3, 9, 9), 3)


def test_names_in_compiled_models_are_those_that_place_takes():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    site = module_at_scale(model, (1, 3, 32, 32), 3)
    compiled = torch.compile(model, backend="eager")
    assert module_at_scale(compiled, (1, 3, 32, 32), 3) == site
    with place(compiled, {site.name: Backdrop(0.5)}) as placement:
        assert list(placement.layers) == ["1"]
