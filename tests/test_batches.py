"""Which samples every update sees: shuffled as ever, with both classes, stratified, budgeted."""

from itertools import chain, islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backdrop.streams import stream_seed
from experiments.batches import Batches


def settings(batch_size, **others):
    neutral = {"seed": 3, "batching": "shuffled", "budget": {}, "masks": {}}
    return {**neutral, "batch_size": batch_size, **others}


def targets_with(positives, size):
    """Give targets (size,) of which the first are positive."""
    return (torch.arange(size) < positives).long()


def batches(targets, batch_size, both=False, **others):
    return Batches(settings(batch_size, **others), targets, both)


def shuffled(seed, number, size, batch_size):
    """Give the batches of a pass by the formula that all runs of shuffled batches share."""
    order = torch.Generator().manual_seed(stream_seed(seed, "order", number))
    return [batch.tolist() for batch in torch.randperm(size, generator=order).split(batch_size)]


def lists(epoch):
    return [batch if isinstance(batch, slice) else batch.tolist() for batch in epoch]


def test_shuffled_batches_are_a_permutation_from_the_stream_of_the_pass_cut_in_order():
    found = batches(torch.arange(23) % 4, 5)
    for number in (1, 2, 3):
        assert lists(found.next_epoch()) == shuffled(3, number, 23, 5)


@given(size=st.integers(2, 40), batch_size=st.integers(1, 39), seed=st.integers(0, 9))
def test_an_epoch_of_shuffled_batches_shows_every_sample_once(size, batch_size, seed):
    batch_size = min(batch_size, size - 1)
    found = batches(torch.arange(size), batch_size, seed=seed)
    for _ in range(2):
        epoch = found.next_epoch()
        assert sorted(chain.from_iterable(lists(epoch))) == list(range(size))
        assert all(len(batch) == batch_size for batch in epoch[:-1])


@pytest.mark.parametrize("batch_size", [None, 10, 11])
@pytest.mark.parametrize("batching", ["shuffled", "stratified"])
def test_a_full_batch_is_one_slice_of_everything_an_epoch(batch_size, batching):
    found = batches(targets_with(3, 10), batch_size, both=True, batching=batching)
    assert [found.next_epoch() for _ in range(2)] == [[slice(None)], [slice(None)]]
    assert found.skipped == 0


def test_batches_without_a_class_are_skipped_and_counted():
    size, batch_size, targets = 30, 4, targets_with(3, 30)
    found = batches(targets, batch_size, both=True)
    epochs = [lists(found.next_epoch()) for _ in range(4)]
    assert [len(epoch) for epoch in epochs] == [8, 8, 8, 8]  # updates, not passes
    used = list(chain.from_iterable(epochs))
    expected, skipped, number = [], 0, 0
    while len(expected) < len(used):
        number += 1
        for batch in shuffled(3, number, size, batch_size):
            if len(expected) == len(used):
                break
            positives = sum(sample < 3 for sample in batch)
            if 0 < positives < len(batch):
                expected.append(batch)
            else:
                skipped += 1
    assert used == expected
    assert found.skipped == skipped > 0


def test_a_loss_that_needs_one_class_only_skips_nothing():
    found = batches(targets_with(3, 30), 4)
    assert lists(found.next_epoch()) == shuffled(3, 1, 30, 4)
    assert found.skipped == 0


@pytest.mark.parametrize("batching", ["shuffled", "stratified"])
@pytest.mark.parametrize("budget", [{}, {"updates": 7}, {"passes": 2}])
def test_going_through_finished_epochs_again_leads_to_the_same_batches(batching, budget):
    first, second = (
        batches(targets_with(4, 33), 5, both=True, batching=batching, budget=budget)
        for _ in range(2)
    )
    whole = [lists(first.next_epoch()) for _ in range(6)]
    counted = first.skipped
    for _ in range(4):
        second.next_epoch()
    before = second.skipped
    assert [lists(second.next_epoch()) for _ in range(2)] == whole[4:]
    assert second.skipped == counted
    assert before <= counted


@given(
    positives=st.integers(1, 30),
    negatives=st.integers(1, 30),
    batch_size=st.integers(2, 59),
    seed=st.integers(0, 9),
)
def test_stratified_batches_hold_the_share_of_positives_and_negatives_once(
    positives, negatives, batch_size, seed
):
    size = positives + negatives
    batch_size = min(batch_size, size)
    targets = targets_with(positives, size)
    found = batches(targets, batch_size, batching="stratified", seed=seed)
    wanted = min(max(1, round(batch_size * positives / size)), batch_size - 1)
    dealt = found.one_pass(1)
    counts = torch.zeros(size, dtype=torch.long)
    for batch in dealt:
        assert targets[batch].sum() == wanted
        counts += batch.bincount(minlength=size)
    in_batch = batch_size - wanted
    assert len(dealt) == max(1, negatives // in_batch)
    assert {len(batch) for batch in dealt} == {wanted + min(in_batch, negatives)}
    assert counts[positives:].max() <= 1
    rounds = counts[:positives]
    assert rounds.max() - rounds.min() <= 1  # positives take turns


def test_stratified_passes_differ_and_follow_the_seed():
    targets = targets_with(5, 50)
    first, again, other = (
        lists(islice(batches(targets, 10, batching="stratified", seed=s)._batches, 10))
        for s in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert first[:5] != first[5:]


def test_stratified_batches_are_never_skipped():
    found = batches(targets_with(2, 100), 10, both=True, batching="stratified")
    for _ in range(3):
        assert all(0 < (batch < 2).sum() < 10 for batch in found.next_epoch())
    assert found.skipped == 0


MASKED = {"samples": {"_target_": "backdrop.Backdrop", "dims": "sample", "p": 0.9}}
STRATIFIED = {"_target_": "backdrop.StratifiedBackdrop", "p": 0.9}


@pytest.mark.parametrize("batch_size", [None, 7, 40])
def test_a_budget_of_updates_is_the_number_of_batches_in_an_epoch(batch_size):
    found = batches(targets_with(40, 80), batch_size, both=True, budget={"updates": 17})
    assert [len(found.next_epoch()) for _ in range(3)] == [17, 17, 17]


@pytest.mark.parametrize(
    ("batch_size", "masks", "updates"),
    [
        (None, {}, 4),
        (None, MASKED, 10),  # 4 passes of 3 n, of which an update costs n (1 + 0.2)
        (80, {}, 40),
        (80, MASKED, 100),
        (None, {"samples": {**MASKED["samples"], "p": 0.0}}, 4),
        (None, {"a": MASKED["samples"], "b": {**MASKED["samples"], "p": 0.5}}, 11),  # 12 / 1.1
        (None, {"a": {**MASKED["samples"], "dims": "spatial"}}, 4),
        (None, {"a": {**MASKED["samples"], "dims": "sample+spatial"}}, 4),
        (None, {"a": {**MASKED["samples"], "dims": [2, 3]}}, 4),
        (None, {"a": {**MASKED["samples"], "dims": 0}}, 10),
        (None, {"a": {**MASKED["samples"], "dims": [0]}}, 10),
        (None, {"a": {"_target_": "backdrop.Backdrop", "dims": "sample"}}, 6),  # p is 0.5
        (None, {"a": {"_target_": "backdrop.Backdrop", "p": 0.9}}, 4),
        (None, {"a": STRATIFIED}, 10),
        (80, {"a": STRATIFIED}, 100),
        (None, {"a": {"_target_": "backdrop.StratifiedBackdrop"}}, 6),
        (None, {"a": MASKED["samples"], "b": {**STRATIFIED, "p": 0.5}}, 11),
    ],
)
def test_a_budget_of_passes_spares_masked_samples_their_backward_passes(batch_size, masks, updates):
    targets = targets_with(400, 800)
    found = batches(targets, batch_size, both=True, budget={"passes": 4}, masks=masks)
    assert len(found.next_epoch()) == updates


def test_a_budget_below_one_update_is_one_update():
    assert len(batches(targets_with(4, 8), None, budget={"passes": 0.1}).next_epoch()) == 1


@pytest.mark.parametrize("others", [{"both": True}, {"batching": "stratified"}])
@pytest.mark.parametrize(
    ("targets", "batch_size", "message"),
    [
        ([1, 1, 1], 2, r"targets 0 and 1; it holds \[1\]"),
        ([0, 1, 2], 2, r"targets 0 and 1; it holds \[0, 1, 2\]"),
        ([0, 1, 1], 1, "batch_size must be at least 2 .*; got 1"),
    ],
)
def test_what_leaves_no_batch_with_both_classes_is_named(targets, batch_size, message, others):
    with pytest.raises(ValueError, match=message):
        batches(torch.tensor(targets), batch_size, **others)
