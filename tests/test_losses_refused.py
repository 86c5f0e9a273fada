"""What the losses refuse, and by what name."""

import math

import pytest
import torch

from backdrop.losses import AUCLoss, FBetaLoss, auc_loss, f_beta_loss
from tests.test_losses import LOSSES


@pytest.mark.parametrize(
    ("error", "scores", "targets", "message"),
    [
        (ValueError, [0.0, math.nan], [0, 1], "finite, got nan at sample 1"),
        (ValueError, [-math.inf, 0.0], [0, 1], "finite, got -inf at sample 0"),
        (ValueError, [0.0, 0.0, 0.0], [0, 1, 2], "0 or 1, got 2 at sample 2"),
        (ValueError, [0.0, 0.0, 0.0], [0, -1, 1], "0 or 1, got -1 at sample 1"),
        (ValueError, [0.0, 0.0], [0.5, 1.0], "0 or 1, got 0.5 at sample 0"),
        (ValueError, [0.0, 0.0], [1.0, math.nan], "0 or 1, got nan at sample 1"),
        (ValueError, [0.0, 0.0], [1, 1], r"need both 0 and 1, got only \[1\]"),
        (ValueError, [0.0, 0.0], [False, False], r"need both 0 and 1, got only \[False\]"),
        (ValueError, [], [], r"need both 0 and 1, got only \[\]"),
        (ValueError, [0.0, 0.0], [0, 1, 1], r"shape \(2,\) for .* got \(3,\)"),
        (ValueError, [[0.0], [0.0]], [[0], [1]], r"shape \(2,\) for .* got \(2, 1\)"),
        (ValueError, [[0.0, 0.0], [0.0, 0.0]], [0, 1], r"\(N,\) or \(N, 1\), got \(2, 2\)"),
        (ValueError, [[[0.0]], [[0.0]]], [0, 1], r"got \(2, 1, 1\)"),
        (ValueError, 0.0, 1, r"\(N,\) or \(N, 1\), got \(\)"),
        (TypeError, [0, 1], [0, 1], "floating-point, got torch.int64"),
        (TypeError, [0j, 1j], [0, 1], "floating-point, got torch.complex64"),
    ],
)
@LOSSES
def test_samples_that_give_no_loss_are_refused(loss, error, scores, targets, message):
    with pytest.raises(error, match=message):
        loss(torch.tensor(scores), torch.tensor(targets))


@pytest.mark.parametrize(("loss", "name"), [(AUCLoss(), "scores"), (FBetaLoss(), "logits")])
def test_what_is_no_tensor_is_refused_by_name(loss, name):
    with pytest.raises(TypeError, match=rf"{name} must be a tensor, got \[0.0, 1.0\]"):
        loss([0.0, 1.0], torch.tensor([0, 1]))
    with pytest.raises(TypeError, match=r"targets must be a tensor, got \[0, 1\]"):
        loss(torch.zeros(2), [0, 1])


@pytest.mark.parametrize(
    ("error", "value", "message"),
    [
        (ValueError, 0, "got 0"),
        (ValueError, -1.0, "got -1.0"),
        (ValueError, math.nan, "got nan"),
        (ValueError, math.inf, "from 1e-15 to 1e15, got inf"),
        (TypeError, "1", "got '1'"),
        (TypeError, True, "got True"),
        (TypeError, None, "got None"),
    ],
)
def test_temperature_and_beta_must_be_positive_numbers(error, value, message):
    samples = torch.zeros(2), torch.tensor([0, 1])
    for call, name in (
        (lambda: AUCLoss(temperature=value), "temperature"),
        (lambda: auc_loss(*samples, temperature=value), "temperature"),
        (lambda: FBetaLoss(beta=value), "beta"),
        (lambda: f_beta_loss(*samples, beta=value), "beta"),
    ):
        with pytest.raises(error, match=f"{name} must be a positive number.*{message}"):
            call()


@pytest.mark.parametrize("surrogate", ["hinge", "", None])
def test_unknown_surrogates_are_refused(surrogate):
    for call in (AUCLoss, lambda s: auc_loss(torch.zeros(2), torch.tensor([0, 1]), s)):
        with pytest.raises(
            ValueError, match=f"'sigmoid', 'logistic', 'squared_hinge'.*{surrogate!r}"
        ):
            call(surrogate)
