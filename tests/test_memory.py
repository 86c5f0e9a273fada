"""Peak memory: seen where the system tells it, forgotten when a new count begins."""

from pathlib import Path

import pytest
import torch

from experiments import memory
from experiments.memory import PeakMemory
from experiments.run import run

MEGABYTES = 400


@pytest.fixture
def known() -> None:
    if not PeakMemory("cpu").result():
        pytest.skip("the system does not tell")


def test_a_peak_is_seen_and_an_earlier_one_forgotten(known):
    first = PeakMemory("cpu")
    before = first.result()["peak_megabytes"]
    block = torch.ones(MEGABYTES * 250_000)
    assert first.result()["peak_megabytes"] - before == pytest.approx(MEGABYTES, rel=0.1)
    del block
    assert first.result()["peak_megabytes"] > before + 0.9 * MEGABYTES
    assert PeakMemory("cpu").result()["peak_megabytes"] < before + 0.5 * MEGABYTES


def test_where_the_system_does_not_tell_nothing_is_recorded(monkeypatch):
    monkeypatch.setattr(memory, "PROCESS", Path("nowhere"))
    assert PeakMemory("cpu").result() == {}


def test_a_run_records_its_peak(known, settings):
    assert run(settings("epochs=1"))["peak_megabytes"] > 10
