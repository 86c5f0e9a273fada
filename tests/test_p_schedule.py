"""Schedules of p: the line, whose p they move, what they refuse."""

import pytest
import torch
import torchvision
from torch import nn
from torch._dynamo.testing import CompileCounter

from backdrop import Backdrop, PSchedule, StratifiedBackdrop, place


@pytest.mark.parametrize(
    "layer",
    [Backdrop(0.5), StratifiedBackdrop(0.5), nn.Dropout(), torchvision.ops.DropBlock2d(0.5, 3)],
)
def test_p_moves_along_a_line_between_begin_and_finish(layer):
    schedule = PSchedule([layer], 0.1, 0.9, begin=0.2, finish=0.6)
    assert layer.p == 0.1
    found = []
    for progress in (0, 0.2, 0.3, 0.4, 0.6, 1):
        schedule.step(progress)
        found.append(layer.p)
    assert found == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.9, 0.9])
    assert (found[0], found[-1]) == (0.1, 0.9)


def test_all_layers_of_a_placement_move_together():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    placement = place(model, {nn.Linear: Backdrop(0.5, "sample")})
    PSchedule(placement.layers.values(), 0.7, 0.0).step(0.5)
    assert [layer.p for layer in placement.layers.values()] == pytest.approx([0.35, 0.35])


def test_p_depends_on_the_progress_alone():
    first, second = Backdrop(), Backdrop()
    schedule = PSchedule([first], 0.0, 0.8, finish=0.7)
    for step in range(9):
        schedule.step(step / 9)
    PSchedule([second], 0.0, 0.8, finish=0.7).step(8 / 9)
    assert first.p == second.p


@pytest.mark.parametrize("normalisation", ["realised", "expected"])
def test_compiled_models_follow_a_schedule_without_compiling_for_every_p(normalisation):
    torch.compiler.reset()
    counter, layer = CompileCounter(), Backdrop(0.5, "sample", normalisation=normalisation)
    model = nn.Sequential(nn.Linear(3, 3), layer)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    schedule, x = PSchedule([layer], 0.1, 0.9), torch.randn(400, 3)
    for step in range(30):
        schedule.step(step / 30)
        with layer.recorded() as masks:
            compiled(x)
        kept = (masks[-1] > 0).float().mean() if masks else None
        assert kept is None or abs(kept - 1 + layer.p) < 0.15
    assert counter.frame_count < 8


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"layers": []}, "at least one layer"),
        (TypeError, {"layers": [nn.ReLU()]}, r"must have a probability p, got ReLU\(\)"),
        (ValueError, {"start": 1}, r"start must lie in \[0, 1\), got 1"),
        (ValueError, {"end": 1.5}, r"end must lie in \[0, 1\), got 1.5"),
        (TypeError, {"end": None}, "end must be a number .* got None"),
        (ValueError, {"begin": -0.1}, "begin must lie"),
        (ValueError, {"finish": 0}, r"finish must lie in \(0, 1\], got 0"),
        (ValueError, {"begin": 0.5, "finish": 0.5}, "begin must be below finish, got 0.5 and 0.5"),
    ],
)
def test_schedules_are_checked_before_a_layer_changes(error, arguments, message):
    layer = Backdrop(0.3)
    with pytest.raises(error, match=message):
        PSchedule(**({"layers": [layer], "start": 0.0, "end": 0.9} | arguments))
    assert layer.p == 0.3


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_out_of_range_is_refused(progress):
    with pytest.raises(ValueError, match=r"progress must lie in \[0, 1\], got"):
        PSchedule([Backdrop()], 0.0, 0.5).step(progress)


@pytest.mark.parametrize(("error", "p"), [(ValueError, 1.5), (ValueError, 1), (TypeError, "0.5")])
def test_a_p_that_the_constructor_refuses_cannot_be_set_later(error, p):
    layer = Backdrop(0.3)
    with pytest.raises(error, match=r"p must .*\[0, 1\), got"):
        layer.p = p
    assert layer.p == 0.3
