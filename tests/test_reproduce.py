"""What a preset does about data that is not there: leave out, mark, name, and run the rest."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from experiments import reproduce as module
from experiments.collect import collect
from experiments.configurations import Configurations
from experiments.identity import run_id
from experiments.plan import Job, Place
from experiments.reproduce import reproduce, with_data
from experiments.run import run
from experiments.run_store import RunStore
from experiments.tables import read

LETTER = ("dataset=letter", "model.inputs=16")


@pytest.fixture(autouse=True)
def downloads(monkeypatch):
    """Let every download fail, and give the addresses that were asked for."""
    asked = []

    def unreachable(url, *_, **__):
        asked.append(url)
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    return asked


def job(settings):
    return Job(run_id(settings), (Place("tiny"),), "tiny", settings)


def folder(settings):
    return Path(settings["system"]["runs"])


def rows(jobs, path):
    runs = folder(jobs[0].settings)
    return collect([(each.id, each.experiments, each.settings) for each in jobs], runs, path)


def test_runs_without_their_data_are_left_out_marked_and_named(
    scored_settings, downloads, tmp_path, capsys
):
    here, *gone = (
        job(scored_settings(*overrides)) for overrides in ((), LETTER, (*LETTER, "seed=101"))
    )
    assert with_data([gone[0], here, gone[1]], folder(here.settings)) == [here]
    assert len(downloads) == 1  # asked once for all runs on the same data
    said = capsys.readouterr().err
    assert said.count("Some runs are left out.") == 1
    assert "put there https://" in said
    table = rows([here, *gone], tmp_path / "table")
    assert list(table["status"]) == ["missing", "not run", "not run"]
    assert all("no network" in reason for reason in table["error"][1:])
    assert table["error"].isna().iloc[0]


def test_runs_whose_data_is_damaged_are_left_out_as_failed(scored_settings, tmp_path):
    here, damaged = job(scored_settings()), job(scored_settings(*LETTER))
    files = Path(damaged.settings["system"]["data"]) / "libsvm"
    files.mkdir(parents=True)
    (files / "letter.scale").write_text("rubbish")
    assert with_data([damaged, here], folder(here.settings)) == [here]
    table = rows([here, damaged], tmp_path / "table")
    assert list(table["status"]) == ["missing", "failed"]
    assert "letter.scale is damaged" in table["error"][1]


def test_a_finished_run_needs_no_data(scored_settings, downloads):
    finished = job(scored_settings(*LETTER))
    runs = folder(finished.settings)
    store = RunStore(runs, finished.id)
    store.path.mkdir(parents=True)
    store.finish({"final": {}})
    assert with_data([finished], runs) == [finished]
    assert not downloads
    assert store.failure() is None


def test_a_run_that_was_left_out_is_run_once_its_data_is_there(scored_settings, monkeypatch):
    tiny = scored_settings("epochs=1")
    store = RunStore(folder(tiny), run_id(tiny))
    store.fail("FileNotFoundError: no network")
    assert with_data([job(tiny)], folder(tiny)) == [job(tiny)]
    run(tiny)
    assert store.failure() is None


@pytest.fixture
def preset(scored_settings, monkeypatch, tmp_path):
    """A preset of a run that has its data and, on demand, one that has not."""

    def made(*settings):
        monkeypatch.setattr(Configurations, "preset", lambda self, name: ["tiny"])
        monkeypatch.setattr(module, "plan", lambda *_: [job(each) for each in settings])
        monkeypatch.setattr(module, "pairs_asked", lambda *_: {})
        monkeypatch.setattr(module, "run_all", run_here)
        declared = {"chapters": {}, "experiments": {"tiny": {}}}
        monkeypatch.setattr(module, "declarations", lambda *_: declared)
        return tmp_path / "results"

    def run_here(jobs, runs, processes, expected):
        for each in jobs:
            run({**each.settings, "system": {**each.settings["system"], "runs": str(runs)}})
        return "log"

    monkeypatch.setattr(module, "report_failures", lambda log: 0)
    return made


def test_a_preset_without_some_of_its_data_runs_the_others_and_ends_with_an_error(
    preset, scored_settings, capsys
):
    results = preset(scored_settings("epochs=1"), scored_settings(*LETTER))
    assert reproduce("tiny", results, 1) == 1
    assert list(read(results / "tiny/runs.csv")["status"]) == ["finished", "not run"]
    assert "1 runs were not made for want of data" in capsys.readouterr().err


def test_a_preset_with_all_its_data_ends_well(preset, scored_settings):
    results = preset(scored_settings("epochs=1"))
    assert reproduce("tiny", results, 1) == 0
    assert list(read(results / "tiny/runs.csv")["status"]) == ["finished"]


def test_collecting_alone_fetches_nothing(preset, scored_settings, downloads):
    results = preset(scored_settings(*LETTER))
    assert reproduce("tiny", results, 1, wanted="none") == 0
    assert not downloads
    assert list(read(results / "tiny/runs.csv")["status"]) == ["missing"]


def test_an_unknown_preset_is_named_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"unknown preset 'laptp'; the presets are .*laptop"):
        reproduce("laptp", tmp_path / "results", 1)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl"])
def test_a_damaged_file_of_a_finished_run_is_named(preset, scored_settings, name):
    settings = scored_settings("epochs=1")
    results = preset(settings)
    reproduce("tiny", results, 1)
    (results / "runs" / run_id(settings) / name).write_bytes(bytes(10) + b"\n")
    with pytest.raises(ValueError, match=rf"{name} is damaged .* delete its folder"):
        reproduce("tiny", results, 1)
