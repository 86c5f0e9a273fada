"""Stages that are run in bands: exact whatever they are made of, and small in memory."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from backdrop import Backdrop, place, survivors
from backdrop.models import TextureNet
from backdrop.survivors.bands import BAND, Bands
from tests.gradients import Apply, difference
from tests.test_survivors_exact import masked_nets


def small(elements: int):
    """Give a context in which so many elements fill a band."""
    return patch.dict(BAND, {"cpu": elements})


@given(masked_nets(), st.sampled_from((1, 40, 150)))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_networks_in_bands_have_the_gradients_of_the_dense_backward_pass(net, elements):
    with small(elements):
        assert difference(*net) < 1e-12


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("p", [0.1, 0.9])
def test_texture_nets_are_exact(kernel_size, p):
    torch.manual_seed(0)
    x = torch.randn(3, 1, 80, 112, dtype=torch.float64)
    model = TextureNet(channels=4, norm="layer", kernel_size=kernel_size).double()
    place(model, {"fine": Backdrop(p), "coarse": Backdrop(p)})
    with small(4000):
        assert difference(model, x) < 1e-12


def test_gradients_keep_their_layout_in_memory():
    # With other strides of a dim of one sample, torch mixes up channels in batch normalisation.
    torch.manual_seed(0)
    channels_last = Apply(lambda x, _: x.movedim(1, -1).contiguous(), 1)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), Backdrop(), channels_last)
    model[2].fixed_mask = torch.ones(1)
    with small(300):
        assert difference(model.double().eval(), torch.randn(2, 1, 12, 12).double()) < 1e-12


def test_outputs_keep_their_layout_in_memory():
    model = TextureNet(channels=4, norm="none").to(memory_format=torch.channels_last)
    place(model, {"fine": Backdrop(0.9)})
    seen = []
    model.coarse.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with small(4000), survivors(model, always=True):
        model(torch.randn(2, 1, 64, 96).to(memory_format=torch.channels_last))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_no_map_of_a_large_sample_is_ever_whole():
    model = TextureNet(channels=8, norm="none")
    place(model, {"fine": Backdrop(0.5), "coarse": Backdrop(0.5)})
    sizes = []
    with (
        small(2**14),
        patch.object(Bands, "run", _noting(sizes, Bands.run)),
        survivors(model, always=True),
    ):
        model(torch.randn(1, 1, 256, 64)).sum().backward()
    assert 64 * 256 not in sizes
    assert sum(sizes) < 2.5 * 2 * 64 * 256  # halos included, forward and backward


def _noting(sizes, run):
    def noted(self, band, part, tensors):
        sizes.append(part.numel())
        return run(self, band, part, tensors)

    return noted
