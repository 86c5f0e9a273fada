"""Which samples every update sees, and how many updates make an epoch."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from inspect import signature
from itertools import chain, count, islice
from typing import Any

import torch
from torch import Generator, Tensor

from backdrop import Backdrop
from backdrop.streams import stream_seed
from experiments.identity import Settings

DEFAULT_P = signature(Backdrop).parameters["p"].default  # of a mask that does not say


class Batches:
    """Gives the indices of the samples of every update, epoch after epoch.

    Pass after pass goes through the training set, each in its own order. Where a loss needs both
    classes, a batch that lacks one is skipped: it is no update, costs nothing, and is counted.

    Raises:
        ValueError: stratified batches, or a loss that needs both classes, on a set without them.
    """

    def __init__(self, settings: Settings, targets: Tensor, needs_both_classes: bool) -> None:
        self.settings, self.stratified = settings, settings["batching"] == "stratified"
        self.targets, self.needs_both_classes = targets.cpu(), needs_both_classes
        self.size = min(settings["batch_size"] or len(targets), len(targets))
        self.skipped = 0
        if self.stratified or needs_both_classes:
            self._check_classes()
        self._batches = chain.from_iterable(map(self._kept, count(1)))

    def next_epoch(self) -> list[Tensor | slice]:
        """Give the batches of the next epoch: indices, or a slice for the whole set."""
        return list(islice(self._batches, self.updates_per_epoch))

    @cached_property
    def updates_per_epoch(self) -> int:
        """Count the updates of an epoch: those of one pass, or what the budget says.

        ``budget.updates`` is their number. ``budget.passes`` is a computation, in forward and
        backward passes over the whole training set: a sample costs 1 forward and 2 backward, of
        which a sample that is masked is spared the 2. (A spatial mask spares none.)
        """
        budget = self.settings["budget"]
        if "updates" in budget:
            return int(budget["updates"])
        if "passes" in budget:
            update = self.size * (1 + 2 * _samples_kept(self.settings["masks"]))
            return max(1, round(budget["passes"] * 3 * len(self.targets) / update))
        return len(self.one_pass(1))

    def one_pass(self, number: int) -> list[Tensor]:
        """Give the batches of a pass (numbers count from 1), those without a class among them."""
        order = Generator().manual_seed(stream_seed(self.settings["seed"], "order", number))
        if not self.stratified:
            return list(torch.randperm(len(self.targets), generator=order).split(self.size))
        return _stratified(self.targets == 1, self.size, order)

    def _kept(self, number: int) -> Iterator[Tensor | slice]:
        if self.size == len(self.targets):
            yield slice(None)  # all samples, in an order that plays no part
            return
        for batch in self.one_pass(number):
            if self.needs_both_classes and len(self.targets[batch].unique()) < 2:
                self.skipped += 1
            else:
                yield batch

    def _check_classes(self) -> None:
        found = self.targets.unique().tolist()
        if found != [0, 1]:
            raise ValueError(
                f"dataset: the training set must hold the targets 0 and 1; it holds {found}"
            )
        if self.size < 2:
            raise ValueError(f"batch_size must be at least 2 for both classes; got {self.size}")


def _samples_kept(masks: Mapping[str, Any]) -> float:
    """Give the share of samples that masks of whole samples leave on average.

    A sample that is kept only because else none would be is not counted.
    """
    kept = 1.0
    for mask in masks.values():
        stratified = mask["_target_"].endswith(".StratifiedBackdrop")  # which masks nothing else
        if stratified or mask.get("dims") in ("sample", 0, [0]):
            kept *= 1 - mask.get("p", DEFAULT_P)
    return kept


def _stratified(positive: Tensor, size: int, order: Generator) -> list[Tensor]:
    """Deal positives and negatives in the proportion of the set, at least one of each, to batches.

    The negatives go round once, without the last incomplete batch; the positives as often as need
    be, and a batch that ends one round of them and begins the next may hold one twice.
    """
    share = positive.double().mean().item()
    positives = min(max(1, round(size * share)), size - 1)
    negatives = _shuffled(~positive, order).split(size - positives)
    if len(negatives) > 1 and len(negatives[-1]) < size - positives:
        negatives = negatives[:-1]
    wanted = positives * len(negatives)
    rounds = -(-wanted // int(positive.sum()))
    pool = torch.cat([_shuffled(positive, order) for _ in range(rounds)])[:wanted]
    return [torch.cat(pair) for pair in zip(pool.split(positives), negatives, strict=True)]


def _shuffled(chosen: Tensor, order: Generator) -> Tensor:
    indices = chosen.nonzero().squeeze(1)
    return indices[torch.randperm(len(indices), generator=order)]
