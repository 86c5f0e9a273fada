"""Losses and qualities on whole sets, and the threshold that turns scores into classes."""

from contextlib import nullcontext

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score
from torch import nn

from backdrop.losses import AUCLoss
from experiments.build import ConfigurationError
from experiments.evaluation import best_threshold, evaluate, loss_of, predict
from experiments.loop import summarise
from experiments.run import run
from tests.test_run import store_of


class Given(nn.Module):
    """Gives its inputs as outputs: vectors (N, 1) as scores (N,), wider ones as logits."""

    def forward(self, x):
        return x.squeeze(1) if x.shape[1] == 1 else x


def scored(scores, targets):
    return torch.tensor(scores)[:, None], torch.tensor(targets)


def f1_at(threshold, targets, scores):
    return f1_score(targets, np.asarray(scores) >= threshold)


VALIDATION = ([0.9, 0.8, 0.3, 0.2, 0.1], [1, 0, 1, 0, 0])
TEST = ([0.95, 0.25, 0.22, 0.15, 0.4], [1, 1, 0, 0, 0])


def found(test=TEST):
    splits = {"validation": scored(*VALIDATION), "test": scored(*test)}
    return evaluate(Given(), AUCLoss(), splits, nullcontext)


def test_auc_and_f1_are_those_of_scikit_learn_at_validations_threshold():
    result = found()
    assert best_threshold(*map(np.array, VALIDATION[::-1])) == pytest.approx(0.3)
    for split, (scores, targets) in (("validation", VALIDATION), ("test", TEST)):
        assert result[split]["auc"] == pytest.approx(roc_auc_score(targets, scores))
        assert result[split]["f1"] == pytest.approx(f1_at(0.29, targets, scores))
        loss = AUCLoss()(torch.tensor(scores), torch.tensor(targets))
        assert result[split]["loss"] == pytest.approx(loss.item())


def test_the_threshold_is_not_chosen_on_the_test_set():
    best_of_test = max(f1_at(s, TEST[1], TEST[0]) for s in TEST[0])
    assert found()["test"]["f1"] < best_of_test
    other = found(test=([-s for s in TEST[0]], TEST[1]))  # no score reaches the threshold
    assert other["validation"] == found()["validation"]
    assert other["test"]["f1"] == 0


def test_f1_of_the_training_set_takes_validations_threshold_too():
    splits = {"train": scored(*TEST), "validation": scored(*VALIDATION), "test": scored(*TEST)}
    result = evaluate(Given(), AUCLoss(), splits, nullcontext)
    assert result["train"] == result["test"]


def counted_f1(threshold, targets, scores):
    """Give F1 as 2 TP / (2 TP + FP + FN)."""
    called = scores >= threshold
    return 2 * (called & (targets == 1)).sum() / (called.sum() + targets.sum())


@hypothesis.settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=12))
def test_no_threshold_has_a_higher_f1_than_the_best_one(samples):
    targets, scores = np.array(samples).T
    hypothesis.assume(0 < targets.sum() < len(targets))
    best = counted_f1(best_threshold(targets, scores), targets, scores)
    everywhere = [counted_f1(t / 2, targets, scores) for t in range(-9, 10)]
    assert best == pytest.approx(max(everywhere))


def test_the_error_of_logits_is_the_share_of_wrong_classes():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
    splits = {"validation": (logits, torch.tensor([0, 2, 0, 0]))}
    result = evaluate(Given(), nn.CrossEntropyLoss(), splits, nullcontext)["validation"]
    assert set(result) == {"loss", "error"}
    assert result["error"] == 0.25
    assert result["loss"] == pytest.approx(
        nn.functional.cross_entropy(*splits["validation"]).item()
    )


def test_predictions_do_not_depend_on_the_batches_they_are_made_in(monkeypatch):
    inputs = torch.randn(7, 3)
    whole = predict(Given(), inputs, nullcontext)
    monkeypatch.setattr("experiments.evaluation.ELEMENTS", 6)
    assert torch.equal(predict(Given(), inputs, nullcontext), whole)


@pytest.mark.parametrize("training", [False, True])
def test_predictions_are_made_in_eval_mode_and_the_mode_is_given_back(training):
    class Mode(Given):
        def forward(self, x):
            assert not self.training
            return super().forward(x)

    model = Mode().train(training)
    predict(model, torch.randn(4, 1), nullcontext)
    assert model.training is training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_binary_cross_entropy_of_scores_takes_integer_targets(dtype):
    scores, targets = torch.tensor([1.0, -2.0], dtype=dtype), torch.tensor([1, 0])
    found = loss_of(nn.BCEWithLogitsLoss(), scores, targets)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx((np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))) / 2)


@pytest.mark.parametrize(("metric", "chosen"), [("error", 2), ("auc", 3), ("f1", 1)])
def test_the_epoch_is_selected_by_the_lowest_error_or_the_highest_auc_or_f1(metric, chosen):
    values = [(0.3, 0.5, 0.9), (0.1, 0.6, 0.4), (0.2, 0.8, 0.5), (0.2, 0.8, 0.2)]
    rows = [
        {
            "epoch": epoch,
            "train": {},
            "validation": dict(zip(("error", "auc", "f1"), at, strict=True)),
            "test": {metric: epoch},
            "seconds": 0.0,
        }
        for epoch, at in enumerate(values, 1)
    ]
    for row in rows:
        row["test"] |= {name: float(row["epoch"]) for name in ("error", "auc", "f1")}
    selected = summarise(rows, metric)["selected"]
    assert selected["epoch"] == chosen
    assert selected["test"][metric] == chosen


@pytest.mark.parametrize("metric", ["auc", "f1"])
def test_a_metric_of_scores_is_refused_for_logits_before_training(settings, metric):
    tiny = settings(f"metric={metric}")
    with pytest.raises(ConfigurationError, match=rf"metric must be error .*; got {metric}"):
        run(tiny)
    assert store_of(tiny).metrics() == []


def test_a_metric_of_classes_is_refused_for_scores_before_training(scored_settings):
    tiny = scored_settings("metric=error")
    with pytest.raises(ConfigurationError, match=r"metric must be auc or f1 .*; got error"):
        run(tiny)
    assert store_of(tiny).metrics() == []


def test_a_loss_of_logits_is_refused_for_scores_before_training(scored_settings):
    tiny = scored_settings("loss=cross_entropy")
    with pytest.raises(ConfigurationError, match="loss: CrossEntropyLoss"):
        run(tiny)
    assert store_of(tiny).metrics() == []
