"""Receptive fields of maps that are enlarged again, against the reach of gradients."""

from math import floor

import pytest
import torch
from torch import nn

from backdrop import ReceptiveField, receptive_field
from tests.test_receptive_field import Function, reach


def ones(layer: nn.Module) -> nn.Module:
    nn.init.ones_(layer.weight)
    return layer


ENLARGING = {
    "kernel as stride": ones(nn.ConvTranspose1d(1, 1, 2, 2, bias=False)),
    "overlap": ones(nn.ConvTranspose1d(1, 1, 4, 2, 1, bias=False)),
    "dilated": ones(nn.ConvTranspose1d(1, 1, 2, 2, 1, dilation=3, bias=False)),
    "stride one": ones(nn.ConvTranspose1d(1, 1, 3, 1, 1, bias=False)),
    "nearest": nn.Upsample(scale_factor=2),
    "threefold": nn.Upsample(scale_factor=3),
    "linear": nn.Upsample(scale_factor=2, mode="linear"),
    "linear, threefold": nn.Upsample(scale_factor=3, mode="linear"),
}


@pytest.mark.parametrize("name", ENLARGING)
@pytest.mark.parametrize("down", [1, 6])
def test_enlarged_maps_have_the_smallest_field_that_holds_what_neighbours_see(name, down):
    conv = ones(nn.Conv1d(1, 1, 7, down, 3, bias=False))
    model = nn.Sequential(conv, ENLARGING[name]).double()
    field = receptive_field(model, (1, 1, 240))[""]
    x = torch.ones(1, 1, 240).double().requires_grad_()
    middle = model(x + 0).shape[2] // 2
    at = range(middle - 6, middle + 6)
    seen = [(o * field.stride[0], *reach(model, x, [o])[0]) for o in at]
    first = min(first - place for place, first, _ in seen)
    last = max(last - place for place, _, last in seen)
    assert field.size == (floor(last - first) + 1,)


def test_fields_of_a_net_with_skips_and_enlarging_are_those_of_its_parts():
    class Net(nn.Module):
        """A U-Net of two levels."""

        def __init__(self) -> None:
            super().__init__()
            self.fine = nn.Conv2d(1, 4, 3, padding=1)
            self.coarse = nn.Conv2d(4, 4, 2, 2)
            self.up = nn.ConvTranspose2d(4, 4, 2, 2)

        def forward(self, x):
            fine = self.fine(x)
            return torch.cat([fine, self.up(self.coarse(fine))], 1)

    fields = receptive_field(Net(), (1, 1, 32, 32))
    assert fields["coarse"] == ReceptiveField((4, 4), (2, 2))
    assert fields[""] == ReceptiveField((5, 5), (1, 1))


def test_positions_and_channels_may_change_places():
    unshuffled = receptive_field(nn.PixelUnshuffle(2), (1, 1, 8, 8))[""]
    assert unshuffled == ReceptiveField((2, 2), (2, 2))
    both = nn.Sequential(nn.Conv2d(1, 4, 2, 2), nn.PixelShuffle(2))
    assert receptive_field(both, (1, 1, 8, 8))[""] == ReceptiveField((3, 3), (1, 1))


def test_larger_maps_than_the_input_have_strides_below_a_pixel():
    assert receptive_field(nn.Upsample(scale_factor=2), (1, 1, 8))[""].stride == (0.5,)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.glu(x, 1),
        lambda x: torch.nn.functional.rms_norm(x.movedim(1, -1), (4,)).movedim(-1, 1),
        lambda x: torch.nn.functional.normalize(x),
        lambda x: torch.stack(x.unbind(1), 1),
    ],
)
def test_what_combines_channels_keeps_the_field(function):
    assert receptive_field(Function(function), (1, 4, 8, 8))[""] == ReceptiveField((1, 1), (1, 1))
