"""What is compared after each way to make a preset: the runs made here, never the table's own."""

import subprocess
from pathlib import Path

import pytest

from experiments import provenance
from experiments import reproduce as module
from experiments.configurations import Configurations
from experiments.identity import run_id
from experiments.plan import Job, Place
from experiments.reproduce import reproduce
from experiments.run import run
from experiments.tables import read
from scripts import agreement
from tests.made_runs import BLOCK

ROOT = Path(__file__).parent.parent
SEEDS = [f"seed={seed}" for seed in range(3)]
NOTHING = (
    "Nothing was compared: no run of the preset `tiny` has been made here; "
    "the committed table holds 2 finished runs.\n"
)


@pytest.fixture(autouse=True)
def code(monkeypatch):
    """Give a function that lets runs be made with some code; from the start, with a commit."""

    def made_with(name):
        monkeypatch.setattr(provenance, "CODE", name)

    made_with("0123456789ab")
    return made_with


@pytest.fixture
def plans(scored_settings):
    """Give a function from overrides to the settings of a run, a run for each seed."""
    return lambda *overrides: [scored_settings("epochs=1", seed, *overrides) for seed in SEEDS]


@pytest.fixture
def make(monkeypatch, tmp_path, capsys):
    """Give a function that makes a preset as the Makefile does; it gives status and text."""
    results = tmp_path / "results"

    def run_here(jobs, runs, processes, expected):
        for each in jobs:
            run({**each.settings, "system": {**each.settings["system"], "runs": str(runs)}})

    def make(planned, wanted="all", *options, uncommitted=False):
        jobs = [Job(run_id(each), (Place("tiny"),), "tiny", each) for each in planned]
        monkeypatch.setattr(module, "plan", lambda *_: jobs)
        status = reproduce("tiny", results, 1, wanted, uncommitted)
        capsys.readouterr()
        compared = agreement.main([str(results / "tiny"), *options])
        return status or compared, capsys.readouterr().out

    monkeypatch.setattr(Configurations, "preset", lambda self, name: ["tiny"])
    monkeypatch.setattr(module, "pairs_asked", lambda *_: {})
    monkeypatch.setattr(module, "run_all", run_here)
    declared = {"chapters": {}, "experiments": {"tiny": BLOCK | {"metric": "validation.auc"}}}
    monkeypatch.setattr(module, "declarations", lambda *_: declared)
    monkeypatch.setattr(module, "report_failures", lambda log: 0)
    return make


@pytest.fixture
def clone(make, plans, tmp_path):
    """Give a clone whose committed table holds two of three seeds; none was made here."""
    git(tmp_path, "init", "--quiet")
    make(plans()[:2])
    commit(tmp_path)
    (tmp_path / "results/runs").rename(tmp_path / "elsewhere")
    return tmp_path


def git(folder, *words):
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "results/tiny")
    git(folder, "commit", "--quiet", "--message", "table")


def collected(make, planned):
    return make(planned, "none", "--required")


def test_a_fresh_clone_compares_nothing_and_says_so(clone, make, plans):
    for _ in range(2):
        status, said = collected(make, plans())
        assert (status, said) == (1, NOTHING)


def test_a_preset_made_whole_is_compared_whole(clone, make, plans):
    for made in (make(plans()[:2]), collected(make, plans()[:2])):
        assert made[0] == 0
        assert "2 of 2 runs equal in every digit" in made[1]
        assert "2 of 2 runs of the preset `tiny` were made here, on " in made[1]
        assert "made on the same" in made[1]


def test_of_a_preset_made_in_part_only_that_part_is_compared(clone, make, plans):
    settings = plans()[0]
    run({**settings, "system": {**settings["system"], "runs": str(clone / "results/runs")}})
    status, said = collected(make, plans()[:2])
    assert status == 0
    assert "(2 seeds), here" in said
    assert "too few runs to tell; 1 of 1 runs equal in every digit" in said
    assert "1 of 2 runs of the preset `tiny` were made here, on " in said
    assert "made on the same" in said


def test_without_data_nothing_is_compared(clone, make, plans, monkeypatch):
    monkeypatch.setattr(module, "_problem", lambda *_: "FileNotFoundError: no network")
    assert make(plans()) == (1, NOTHING)
    assert collected(make, plans()) == (1, NOTHING)


def test_completing_a_complete_table_compares_nothing_and_ends_well(clone, make, plans):
    status, said = make(plans()[:2], "lacking")
    assert (status, said) == (0, NOTHING)


def test_what_completes_a_table_is_new_until_it_is_committed(clone, make, plans):
    status, said = make(plans(), "lacking")
    assert status == 0
    assert "not run now; committed" in said
    assert "1 of 3 runs of the preset `tiny` were made here, on " in said
    assert "1 of them is new: not in the committed table." in said
    assert "agree" not in said
    commit(clone)
    status, said = collected(make, plans())
    assert status == 0
    assert "1 of 3 runs of the preset `tiny` were made here, on " in said
    assert "1 of 1 runs equal in every digit" in said
    assert "new" not in said


def test_runs_made_in_another_precision_are_compared_with_the_committed(clone, make, plans):
    status, said = make(plans("precision=bfloat16")[:2])
    assert status == 0
    assert "no run has the same configuration and seed on both sides" in said
    assert "2 of 2 runs of the preset `tiny` were made here, on " in said
    assert "The committed ones were made on " in said
    assert "only to be expected on equal hardware" in said


@pytest.mark.parametrize("with_git", [True, False])
def test_a_preset_that_nothing_is_committed_of_ends_well(make, plans, tmp_path, with_git):
    if with_git:
        git(tmp_path, "init", "--quiet")
    for status, said in (make(plans()), collected(make, plans())):
        assert status == 0
        assert "There is nothing committed to compare with" in said


def test_a_reproduction_that_breaks_off_leaves_nothing_to_compare(clone, make, plans):
    make(plans()[:2])
    damaged = clone / "results/runs" / run_id(plans()[0]) / "result.json"
    damaged.write_text("rubbish")
    with pytest.raises(ValueError, match="damaged"):
        collected(make, plans()[:2])
    assert not (clone / "results/runs/here/tiny.csv").exists()


def test_runs_of_uncommitted_code_enter_a_committed_table_only_if_asked_to(
    clone, make, plans, code, monkeypatch
):
    code("0123456789ab+00112233")
    _, said = make(plans())
    table = read(clone / "results/tiny/runs.csv")
    assert list(table["status"]) == ["finished", "finished", "missing"]
    assert list(table["error"].dropna()) == ["it was made here with uncommitted code"]
    assert not table["provenance.commit"].str.contains("+", regex=False).any()
    assert "3 of 3 runs of the preset `tiny` were made here" in said
    make(plans(), "none", uncommitted=True)
    table = read(clone / "results/tiny/runs.csv")
    assert set(table["status"]) == {"finished"}
    assert set(table["provenance.commit"]) == {"0123456789ab+00112233"}


def test_rows_that_are_committed_stay_whatever_code_made_them(clone, make, plans, code):
    code("0123456789ab+00112233")
    make(plans()[:2], uncommitted=True)
    commit(clone)
    (clone / "results/runs").rename(clone / "before")
    make(plans()[:2], "none")
    assert set(read(clone / "results/tiny/runs.csv")["status"]) == {"finished"}


@pytest.mark.parametrize(
    ("target", "required"), [("reproduce-paper", False), ("complete", False), ("collect", True)]
)
def test_the_makefile_compares_what_stands_here(target, required):
    words = ["make", "--dry-run", target, "PRESET=tiny", "RESULTS=results"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    said = " ".join(said.split())
    assert 'scripts.agreement "results/tiny"' in said
    assert ("--required" in said) == required
