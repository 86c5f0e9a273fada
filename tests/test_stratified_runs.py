"""Runs whose masks draw within the classes of every batch."""

from pathlib import Path

import pytest
from torch import nn

from backdrop import StratifiedBackdrop, place
from experiments.build import build
from experiments.loop import batches_of, train_epoch, train_step
from experiments.run import run
from tests.test_run import Interrupted, interrupt_after, numbers, store_of, without_times

MASKS = ("masks=stratified_samples", "masks.stratified_samples.p=0.98", "precision=float32")


@pytest.mark.parametrize("sized", ["batch_size=null", "batch_size=30"])
@pytest.mark.parametrize("budget", ["updates=3", "passes=1"])
def test_the_masks_of_every_step_keep_both_of_its_classes(scored_settings, sized, budget):
    stratified = scored_settings(*MASKS, sized, "~budget", f"+budget.{budget}")
    parts = build(stratified)
    train = parts.dataset.load("train", Path(stratified["system"]["data"]))
    batches = batches_of(stratified, parts, train[1])
    (layer,) = parts.stratified_masks
    seen = []
    parts.model.register_forward_pre_hook(lambda _, args: seen.append((len(*args), layer.groups)))
    with layer.recorded() as masks:
        for epoch in (1, 2):
            train_epoch(stratified, parts, train, batches, epoch)
    assert len(masks) == len(seen) == 2 * batches.updates_per_epoch
    for mask, (size, targets) in zip(masks, seen, strict=True):
        assert targets.shape == (size,)
        assert targets[mask.flatten() > 0].unique().tolist() == [0, 1]


@pytest.mark.parametrize("backward", ["dense", "survivors"])
@pytest.mark.parametrize("budget", ["updates=3", "passes=0.2"])
@pytest.mark.parametrize("sized", ["batch_size=null", "batch_size=30"])
def test_an_interrupted_run_resumes_to_the_same_bits(
    scored_settings, tmp_path, sized, budget, backward
):
    overrides = (*MASKS, sized, "~budget", f"+budget.{budget}", f"backward={backward}")
    whole = scored_settings(*overrides, f"system.runs={tmp_path / 'whole'}")
    broken = scored_settings(*overrides, "system.checkpoint_seconds=0")
    expected = run(whole)
    assert expected["backward"] == {"classifier": backward}
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(3))
    assert numbers(run(broken)) == numbers(expected)
    assert without_times(store_of(broken).metrics()) == without_times(store_of(whole).metrics())


def test_a_step_gives_its_targets_to_placed_masks_and_to_modules_of_the_model(scored_settings):
    settings = scored_settings("masks=none")
    parts = build(settings)
    parts.model.hidden = nn.Sequential(*parts.model.hidden, StratifiedBackdrop(0.5))
    place(parts.model, {"classifier": StratifiedBackdrop(0.5), "hidden.0": nn.Dropout(0.5)})
    parts.model.train()
    inputs, targets = parts.dataset.load("train", Path(settings["system"]["data"]))
    train_step(settings, parts, (inputs, targets), 0)
    assert len(parts.stratified_masks) == 2
    assert all(mask.groups is targets for mask in parts.stratified_masks)
    train_step(settings, parts, (inputs[:50], targets[:50]), 1)
    assert all(len(mask.groups) == 50 for mask in parts.stratified_masks)
