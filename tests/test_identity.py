from pathlib import Path

import pytest
from omegaconf.errors import OmegaConfBaseException

from experiments.identity import has_fast_bfloat16, run_id
from experiments.tables import read, settings_of

TABLES = sorted((Path(__file__).resolve().parent.parent / "results").glob("*/runs.csv"))


def test_the_same_configuration_has_the_same_id(settings):
    assert run_id(settings()) == run_id(settings())


def test_every_value_that_can_change_the_numbers_changes_the_id(settings):
    overrides = ["seed=1", "masks.fine.p=0.6", "optimizer.lr=0.01", "precision=float32", "epochs=7"]
    overrides += ["dataset.evaluation_seed=1", "model.norm=layer", "warmup=0.1", "masks=none"]
    overrides += ["regulariser=channel_dropback"]
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


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.parent.name)
def test_committed_runs_keep_their_ids(table):
    rows = read(table).to_dict("records")
    assert rows
    assert [run_id(settings_of(row)) for row in rows] == [row["id"] for row in rows]


def test_settings_that_say_nothing_new_leave_the_id_alone(settings):
    plain = settings()
    assert plain["regulariser"] == {}
    old = {key: value for key, value in plain.items() if key not in ("regulariser", "budget")}
    assert run_id(old) == run_id(plain)


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
