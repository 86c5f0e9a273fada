"""What each arm of the experiments on scores changes, and where its learning rate comes from."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf.errors import OmegaConfBaseException

from backdrop import Backdrop, StratifiedBackdrop
from backdrop.losses import AUCLoss
from experiments.build import build
from experiments.identity import identity, run_id
from experiments.loop import batches_of
from experiments.tables import CONFIG, flatten, settings_of
from tests.conftest import composed

MASKED = ["sample_masks", "stratified_masks"]
ARMS = ["full_batch", *MASKED, "minibatch", "stratified", "cross_entropy"]
EXPERIMENT = "experiment=auc/tuning_digits_updates"
RATES = (
    "+choices.rates={full_batch: 0.5, sample_masks: {0.8: 0.1, 0.9: 0.2}, "
    "minibatch: {0.8: 0.3, 0.9: 0.4}, stratified: {0.8: 0.6, 0.9: 0.7}, "
    "cross_entropy: {0.8: 0.8, 0.9: 0.9}}"
)


def compose(*overrides):
    return composed([EXPERIMENT], Path("nowhere"), *overrides)


def arm(name, *overrides):
    """Give the settings of an arm, with learning rates for p = 0.8 and 0.9."""
    return compose(f"arm={name}", RATES, *overrides)


@pytest.mark.parametrize(
    ("name", "batch_size", "masked", "batching", "loss"),
    [
        ("full_batch", None, None, "shuffled", AUCLoss),
        ("sample_masks", None, Backdrop, "shuffled", AUCLoss),
        ("stratified_masks", None, StratifiedBackdrop, "shuffled", AUCLoss),
        ("minibatch", 160, None, "shuffled", AUCLoss),
        ("stratified", 160, None, "stratified", AUCLoss),
        ("cross_entropy", 160, None, "shuffled", torch.nn.BCEWithLogitsLoss),
    ],
)
def test_an_arm_is_what_its_name_says(name, batch_size, masked, batching, loss):
    settings = arm(name, "choices.p=0.8")
    assert settings["batch_size"] == batch_size
    assert settings["batching"] == batching
    parts = build(settings)
    assert type(parts.loss) is loss
    layers = [hook.layer for hook in parts.model.classifier._forward_hooks.values()]
    assert [(type(layer), layer.p, layer.dims) for layer in layers] == (
        [(masked, 0.8, "sample")] if masked else []
    )
    targets = (torch.arange(800) < 8).long()
    first = batches_of(settings, parts, targets).next_epoch()
    assert len(first) == 10
    seen = 800 if batch_size is None else batch_size
    assert {len(targets[batch]) for batch in first} == {seen}


def test_arms_differ_in_nothing_but_what_makes_them():
    def rest(settings):
        made = ("batch_size", "batching", "loss", "masks")
        kept = {key: value for key, value in settings.items() if key not in made}
        return kept | {"optimizer": {**settings["optimizer"], "lr": None}}

    first, *others = (rest(arm(name)) for name in ARMS)
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("name", "p", "rate"),
    [
        ("full_batch", 0.8, 0.5),
        ("full_batch", 0.33, 0.5),
        ("sample_masks", 0.8, 0.1),
        ("sample_masks", 0.9, 0.2),
        ("stratified_masks", 0.8, 0.1),
        ("stratified_masks", 0.9, 0.2),
        ("minibatch", 0.8, 0.3),
        ("minibatch", 0.9, 0.4),
        ("stratified", 0.8, 0.6),
        ("stratified", 0.9, 0.7),
        ("cross_entropy", 0.8, 0.8),
        ("cross_entropy", 0.9, 0.9),
    ],
)
def test_the_learning_rate_of_an_arm_is_that_at_its_p(name, p, rate):
    assert arm(name, f"choices.p={p}")["optimizer"]["lr"] == rate


def test_a_learning_rate_that_is_stated_counts_over_the_table():
    assert arm("minibatch", "choices.p=0.33", "optimizer.lr=0.05")["optimizer"]["lr"] == 0.05


def test_masks_within_classes_have_their_own_rates_once_there_are_some():
    own = "+choices.rates.stratified_masks={0.8: 0.05}"
    assert arm("stratified_masks", own, "choices.p=0.8")["optimizer"]["lr"] == 0.05
    with pytest.raises(OmegaConfBaseException, match=r"choices\.p must be one of 0\.8; got 0\.9"):
        arm("stratified_masks", own, "choices.p=0.9")


@pytest.mark.parametrize("name", [name for name in ARMS if name != "full_batch"])
def test_a_p_without_a_learning_rate_is_named_with_those_that_have_one(name):
    with pytest.raises(
        OmegaConfBaseException, match=r"choices\.p must be one of 0\.8, 0\.9; got 0\.33"
    ):
        arm(name, "choices.p=0.33")


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_without_learning_rates_is_refused_by_the_name_of_those_it_has(name):
    table = "sample_masks" if name in MASKED else name
    with pytest.raises((OmegaConfBaseException, ValueError), match=rf"\b{table}\b"):
        compose(f"arm={name}")


@pytest.mark.parametrize("name", ARMS)
def test_choices_are_no_part_of_an_arms_identity(name):
    settings = arm(name, "choices.p=0.9")
    assert "choices" not in settings
    stated = f"optimizer.lr={settings['optimizer']['lr']}"
    without_table = compose(f"arm={name}", "choices.p=0.9", stated)
    assert run_id(without_table) == run_id(settings)


def test_p_changes_the_identity_of_every_arm_but_the_full_batch():
    def ids(name):
        return {run_id(arm(name, f"choices.p={p}", "optimizer.lr=0.01")) for p in (0.5, 0.8, 0.9)}

    assert {name: len(ids(name)) for name in ARMS} == {
        **dict.fromkeys(ARMS, 3),
        "full_batch": 1,
    }


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_had_again_from_its_row_of_a_table(name):
    settings = arm(name)
    row = {CONFIG + key: json.dumps(item) for key, item in flatten(identity(settings)).items()}
    assert run_id(settings_of(row)) == run_id(settings)
