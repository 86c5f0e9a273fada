import pytest
from omegaconf.errors import OmegaConfBaseException

from experiments.identity import has_fast_bfloat16, run_id


def test_the_same_configuration_has_the_same_id(settings):
    assert run_id(settings()) == run_id(settings())


def test_every_value_that_can_change_the_numbers_changes_the_id(settings):
    overrides = ["seed=1", "masks.fine.p=0.6", "optimizer.lr=0.01", "precision=float32", "epochs=7"]
    overrides += ["dataset.evaluation_seed=1", "model.norm=layer", "warmup=0.1", "masks=none"]
    ids = {run_id(settings())} | {run_id(settings(override)) for override in overrides}
    if not has_fast_bfloat16("cpu"):
        assert len(ids) == len(overrides)
    else:
        assert len(ids) == len(overrides) + 1


def test_what_cannot_change_the_numbers_does_not_change_the_id(settings):
    system = ("system.threads=1", "system.progress=false", "system.runs=elsewhere")
    assert run_id(settings(*system)) == run_id(settings())


def test_equal_numbers_written_differently_have_one_id(settings):
    assert run_id(settings("masks.fine.p=0")) == run_id(settings("masks.fine.p=0.0"))


def test_device_and_precision_are_decided(settings):
    assert settings()["device"] in ("cpu", "cuda")
    assert settings()["precision"] in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("epochs=many", "epochs"),
        ("epochs=0", "epochs"),
        ("batch_size=-1", "batch_size"),
        ("warmup=1", "warmup"),
        ("precision=float8", "precision"),
        ("system.threads=0", "threads"),
        ("epoch=3", "epoch"),
        ("masks.fine.q=0.5", "q"),
        ("optimizer.rate=1", "rate"),
    ],
)
def test_a_bad_key_or_value_is_named_on_composing(settings, override, named):
    with pytest.raises((OmegaConfBaseException, ValueError, Exception), match=named):
        settings(override)
