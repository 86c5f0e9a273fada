"""Which backward pass a run takes, what it leaves as it was, and what the record says."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters as dynamo_counters

from backdrop import Backdrop, place
from backdrop.models import MLP, SmallConvNet, TextureNet, WhitenedTextureNet
from experiments.backward import choose_backward
from experiments.build import ConfigurationError, build
from experiments.evaluation import predict
from experiments.loop import batches_of, train_epoch
from experiments.run import run
from tests.conftest import BY_SAMPLES
from tests.test_run import Interrupted, interrupt_after, numbers, store_of, without_times

WHITENED = ("model=whitened_texture_net", "model.channels=4")
ALWAYS = (*WHITENED, "backward=survivors")
BOTH = {"fine": "survivors", "coarse": "survivors"}
NEITHER = {"fine": "dense", "coarse": "dense"}


def asking(backward: str, **others) -> dict:
    return {
        "backward": backward,
        "compile": False,
        "device": "cpu",
        "precision": "float32",
    } | others


def masked(p_fine: float, p_coarse: float, norm: str = "layer") -> nn.Module:
    model = TextureNet(channels=16, norm=norm)
    place(model, {"fine": Backdrop(p_fine), "coarse": Backdrop(p_coarse)})
    return model


def whitened(x: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    model = WhitenedTextureNet(channels=4, norm="layer")
    model.fit_to(x)
    place(model, {"fine": Backdrop(0.5), "coarse": Backdrop(0.5)})
    return model


def test_by_default_it_is_dense_where_batch_statistics_couple_the_samples(settings):
    assert settings()["backward"] == "auto"
    assert run(settings())["backward"] == NEITHER


def test_by_default_it_skips_where_that_is_exact_and_less_work():
    shape = (8, 1, 256, 256)
    assert choose_backward(masked(0.97, 0.9), asking("auto"), shape)["fine"] == "survivors"
    assert choose_backward(masked(0.1, 0.1), asking("auto"), shape) == NEITHER
    assert choose_backward(masked(0.97, 0.9, "batch"), asking("auto"), shape) == NEITHER
    assert choose_backward(masked(0.97, 0.9), asking("dense"), shape) == NEITHER
    assert choose_backward(masked(0.1, 0.1), asking("survivors"), shape) == BOTH


def test_in_bfloat16_masks_must_be_stronger_for_that():
    shape, wanted = (8, 1, 256, 256), asking("auto", precision="bfloat16")
    assert choose_backward(masked(0.8, 0.8), asking("auto"), shape)["fine"] == "survivors"
    assert choose_backward(masked(0.8, 0.8), wanted, shape) == NEITHER
    assert choose_backward(masked(0.95, 0.9), wanted, shape)["fine"] == "survivors"


@pytest.mark.parametrize("wanted", ["auto", "dense"])
def test_where_it_is_dense_the_model_has_no_hooks(wanted):
    model = masked(0.1, 0.1)
    choose_backward(model, asking(wanted), (8, 1, 64, 64))
    assert not model._forward_pre_hooks


def test_survivors_where_they_are_inexact_are_refused_by_the_module_before_training(settings):
    tiny = settings("backward=survivors")
    with pytest.raises(ConfigurationError, match=r"^backward: .*'fine\.0\.1'.*frozen"):
        run(tiny)
    assert store_of(tiny).metrics() == []
    assert "backward: " in store_of(tiny).failure()


@pytest.mark.parametrize("masks", [["masks=none"], ["masks.fine.p=0", "masks.coarse.p=0"]])
def test_survivors_without_an_active_mask_are_refused(settings, masks):
    with pytest.raises(ConfigurationError, match=r"^backward: .*there is none"):
        run(settings(*ALWAYS, *masks))


def test_a_run_without_masks_says_nothing(settings):
    assert "backward" not in run(settings("masks=none"))


def test_the_record_says_what_was_used(settings, tmp_path):
    assert run(settings(*ALWAYS))["backward"] == BOTH
    assert run(settings(*WHITENED))["backward"] == NEITHER  # far too small to pay


def test_where_nothing_pays_auto_is_dense_bit_for_bit(settings):
    auto, dense = settings(*WHITENED), settings(*WHITENED, "backward=dense")
    assert numbers(run(auto)) == numbers(run(dense))


def two_steps(tiny) -> tuple[list[torch.Tensor], list[float]]:
    tiny = {**tiny, "budget": {"updates": 2}}
    parts = build(tiny)
    torch.manual_seed(1)
    train = torch.randn(7, 1, 64, 64), torch.arange(7) % 4
    parts.model.fit_to(train[0])
    parts.model.to(memory_format=torch.channels_last)
    choose_backward(parts.model, tiny, (5, 1, 64, 64))
    row = train_epoch(tiny, parts, train, batches_of(tiny, parts, train[1]), 1)
    return list(parts.model.parameters()), [row["train"]["loss"], row["gradient_norm"]]


def test_two_steps_are_those_of_the_dense_mask(settings):
    common = (*WHITENED, "precision=float32", "optimizer=sgd", "masks.fine.p=0.8")
    sparse, found = two_steps(settings(*common, "backward=survivors"))
    dense, expected = two_steps(settings(*common, "backward=dense"))
    start = build(settings(*common)).model.parameters()
    assert found == pytest.approx(expected, rel=1e-5)
    for a, b, before in zip(sparse, dense, start, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        assert not torch.equal(a, before)


def test_under_autocast_a_run_learns_as_with_the_dense_mask(settings):
    common = (*WHITENED, "precision=bfloat16")
    sparse, dense = (run(settings(*common, f"backward={b}")) for b in ("survivors", "dense"))
    assert sparse["train"]["loss"] == pytest.approx(dense["train"]["loss"], rel=0.05)
    assert sparse["train"] != dense["train"]


def interrupted_and_whole(composed, tmp_path, *overrides):
    broken = composed(*overrides, "system.checkpoint_seconds=0")
    whole = composed(*overrides, f"system.runs={tmp_path / 'whole'}")
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(3))
    return broken, whole


def test_an_interrupted_run_resumes_to_the_same_bits(settings, tmp_path):
    broken, whole = interrupted_and_whole(settings, tmp_path, *ALWAYS)
    assert numbers(run(broken)) == numbers(run(whole))
    assert without_times(store_of(broken).metrics()) == without_times(store_of(whole).metrics())


@pytest.mark.parametrize("arm", ["sample masks", "stratified masks"])
def test_masked_samples_of_a_full_batch_resume_to_the_same_bits(scored_settings, tmp_path, arm):
    overrides = (*BY_SAMPLES[arm], "backward=survivors", "budget.updates=2")
    broken, whole = interrupted_and_whole(scored_settings, tmp_path, *overrides)
    result = run(broken)
    assert numbers(result) == numbers(run(whole))
    assert result["backward"] == {"classifier": "survivors"}


@pytest.mark.parametrize("wanted", ["auto", "survivors"])
def test_whole_samples_are_skipped_in_nets_for_scores(wanted):
    for model, shape in ((MLP(8, [16]), (40, 8)), (SmallConvNet(), (40, 3, 32, 32))):
        place(model, {"classifier": Backdrop(0.9, "sample")})
        used = choose_backward(model, asking(wanted), shape)
        assert set(used) == {"classifier"}
        assert wanted == "auto" or used["classifier"] == "survivors"
        model(torch.randn(shape)).sum().backward()
        assert all(p.grad is not None for p in model.parameters())


def test_evaluation_and_checkpoints_are_untouched():
    x = torch.randn(6, 1, 64, 64)
    model = whitened(x)
    keys, before = list(model.state_dict()), predict(model, x, nullcontext)
    choose_backward(model, asking("survivors"), x.shape)
    assert torch.equal(predict(model, x, nullcontext), before)
    assert list(model.state_dict()) == keys


def test_a_compiled_model_is_dense_and_survivors_in_it_are_refused():
    shape = (8, 1, 256, 256)
    assert choose_backward(masked(0.97, 0.9), asking("auto", compile=True), shape) == NEITHER
    with pytest.raises(ConfigurationError, match="backward: survivors cannot be compiled"):
        choose_backward(masked(0.97, 0.9), asking("survivors", compile=True), shape)


@pytest.mark.slow
def test_a_compiled_run_has_about_the_numbers_of_a_plain_one(settings):
    expected = run(settings("masks=none"))["train"]["loss"]
    before = dynamo_counters["frames"]["ok"]
    found = run(settings("masks=none", "compile=true"))["train"]["loss"]
    assert dynamo_counters["frames"]["ok"] > before
    assert found == pytest.approx(expected, rel=0.02)
