"""What cannot work fails before the first step, by its key; the rehearsal leaves no trace."""

import copy

import pytest
import torch

from experiments import loop, measures
from experiments import run as module
from experiments.build import ConfigurationError
from experiments.run import run
from tests.test_run import numbers, store_of


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.inputs=3"], r"^model\.inputs must be 64, .* got 3$"),
        (["masks=samples", "masks.samples.dims=[7]"], r"^masks\.samples: "),
        (["+optimizer.betas=[0.9]"], r"^optimizer"),
        (["~optimizer.lr"], r"^optimizer\.lr must be given"),
        (["+masks.x=3"], r"^masks\.x must be a layer"),
        (["+measures=conductance", "measures.conductance.layers=[no]"], r"^measures\.conductance"),
        (["metric=error"], r"^metric must be auc or f1"),
        (["optimizer=sgd", "optimizer._target_=torch.optim.LBFGS"], r"^optimizer"),
    ],
)
def test_what_cannot_work_fails_before_the_first_step(scored_settings, overrides, message):
    settings = scored_settings(*overrides)
    with pytest.raises(ConfigurationError, match=message):
        run(settings)
    assert store_of(settings).metrics() == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.classes=2", r"^model\.classes must be at least 4, .* got 2$"),
        ("model.channels=0", r"^model: "),
        ("masks.fine.dims=[7]", r"^masks\.fine: "),
        ("augmentation=coarse_crops", r"^augmentation: "),
    ],
)
def test_what_cannot_work_on_images_fails_before_the_first_step(settings, override, message):
    tiny = settings(override)
    with pytest.raises(ConfigurationError, match=message):
        run(tiny)
    assert store_of(tiny).metrics() == []


def test_a_gpu_that_is_not_there_is_said(scored_settings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=r"^device must be cpu here"):
        run(scored_settings("device=cuda"))


@pytest.mark.parametrize("regulariser", ["none", "ydrop"])
def test_a_rehearsal_changes_no_number(scored_settings, tmp_path, monkeypatch, regulariser):
    overrides = (f"regulariser={regulariser}", "epochs=2", "masks=samples")
    rehearsed = numbers(run(scored_settings(*overrides)))
    monkeypatch.setattr(loop, "_rehearse", lambda *_: None)
    assert rehearsed == numbers(run(scored_settings(*overrides, f"system.runs={tmp_path / 'b'}")))


def test_a_rehearsal_leaves_states_and_streams_as_they_were(settings, monkeypatch, tmp_path):
    tiny = settings()
    seen = []
    rehearse = loop._rehearse

    def watched(given, parts, splits):
        before = copy.deepcopy(parts.model.state_dict()), torch.get_rng_state()
        rehearse(given, parts, splits)
        after = copy.deepcopy(parts.model.state_dict()), torch.get_rng_state()
        seen.append((before, after))
        assert all(p.grad is None for p in parts.model.parameters())

    monkeypatch.setattr(loop, "_rehearse", watched)
    run(tiny)
    ((states, stream), (states_after, stream_after)) = seen[0]
    assert all(torch.equal(states[name], states_after[name]) for name in states)
    assert torch.equal(stream, stream_after)


def test_a_measure_that_fails_at_the_end_loses_no_epoch(scored_settings, monkeypatch):
    settings = scored_settings(
        "+measures=conductance", "measures.conductance.layers=[hidden.0]", "epochs=2"
    )
    measure, calls = measures.high_conductance, []

    def fails_on_all(model, inputs, targets, layers: list[str], samples: int):
        if len(inputs) > 2:
            raise RuntimeError("out of memory")
        return measure(model, inputs, targets, layers, samples)

    fails_on_all.__module__ = "experiments.measures"
    monkeypatch.setattr(measures, "high_conductance", fails_on_all)
    with pytest.raises(ValueError, match=r"^measures\.conductance: out of memory"):
        run(settings)
    monkeypatch.setattr(measures, "high_conductance", measure)
    assert "measured" in module.run(settings, lambda row: calls.append(row))
    assert calls == []
