"""What ChannelDropBack refuses."""

import pytest
import torch
import torch.distributed as dist
from torch.optim import SGD

from backdrop import ChannelDropBack
from tests.test_channel_dropback import net


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"form": "text"}, "'paper' or 'code', got 'text'"),
        (ValueError, {"fraction": 0}, r"fraction must lie in \(0, 1\], got 0"),
        (ValueError, {"fraction": 1.1}, "got 1.1"),
        (ValueError, {"fraction": float("nan")}, "got nan"),
        (TypeError, {"fraction": "0.7"}, "got '0.7'"),
        (TypeError, {"fraction": True}, "got True"),
        (ValueError, {"rate_channel": 0.3}, "rate_channel is of no use in form 'paper'"),
        (ValueError, {"rate_layer": 0.3}, "rate_layer is of no use in form 'paper'"),
        (ValueError, {"form": "code", "fraction": 0.7}, "fraction is of no use in form 'code'"),
        (ValueError, {"form": "code", "rate_channel": 1}, r"\[0, 1\), got 1"),
        (ValueError, {"form": "code", "rate_layer": -0.1}, r"\[0, 1\], got -0.1"),
        (TypeError, {"form": "code", "rate_layer": "0.1"}, "got '0.1'"),
        (TypeError, {"skip": 1.0}, "skip must be an int of at least -1, got 1.0"),
        (ValueError, {"skip": -2}, "at least -1, got -2"),
        (ValueError, {"skip": 99}, "no weight is left .* none in the model .* above 99"),
        (ValueError, {"layers": ["1"]}, "no weight is left .* none in 1 has"),
        (ValueError, {"layers": []}, "at least one module name"),
        (TypeError, {"layers": "0"}, "sequence of module names, got '0'"),
        (TypeError, {"layers": [0]}, r"sequence of module names, got \[0\]"),
        (KeyError, {"layers": ["00"]}, "no module '00'"),
        (TypeError, {"generator": 3}, "got 3"),
    ],
)
def test_constructor_refuses_and_leaves_the_optimizer_alone(error, arguments, message):
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    with pytest.raises(error, match=message):
        ChannelDropBack(model, optimizer, **arguments)
    assert not optimizer._optimizer_step_pre_hooks


def test_an_optimizer_of_another_model_is_refused():
    with pytest.raises(ValueError, match="no weight is left to treat in form 'paper'"):
        ChannelDropBack(net(), SGD(net().parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("error", "epoch"), [(ValueError, -1), (TypeError, 0.5), (TypeError, None)]
)
def test_epochs_are_counted_from_zero(error, epoch):
    model = net()
    dropback = ChannelDropBack(model, SGD(model.parameters(), lr=0.1))
    with pytest.raises(error, match="epoch must be"):
        dropback.set_epoch(epoch)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_ranks_that_would_draw_different_channels_are_refused(form, monkeypatch):
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        ChannelDropBack(model, optimizer, form).remove()
        monkeypatch.setattr(dist, "get_world_size", lambda: 2)
        with pytest.raises(ValueError, match="2 ranks would update different channels"):
            ChannelDropBack(model, optimizer, form)
        ChannelDropBack(model, optimizer, form, generator=torch.Generator()).remove()
    finally:
        dist.destroy_process_group()
    ChannelDropBack(model, optimizer, form).remove()
