"""Sweeps: presets in several processes, Hydra multiruns, and what happens when jobs fail."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.collect import last_sweep
from experiments.identity import run_id
from experiments.plan import Job, Place, plan
from experiments.rerun import find
from experiments.run import run
from experiments.run_store import RunStore
from experiments.sweep import run_all
from experiments.sweep_log import SweepLog, expand, report_failures, sweep_parameters
from experiments.tables import read, write
from tests.conftest import TINY

ROOT = Path(__file__).resolve().parent.parent


def python(*words, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def train(tmp_path, *overrides, multirun=False):
    folders = [f"system.runs={tmp_path / 'runs'}", f"system.data={tmp_path / 'data'}"]
    flag = ["-m"] if multirun else []
    return python("experiments.train", *flag, *TINY, *folders, *overrides)


def test_a_failed_job_leaves_its_traceback_and_the_others_go_on(settings, capsys):
    good, bad = settings(), settings("masks.fine.p=2")
    jobs = [
        Job(run_id(each), (Place("tiny"),), f"job {i}", each) for i, each in enumerate((bad, good))
    ]
    runs = Path(good["system"]["runs"])
    log = run_all(jobs, runs, processes=1)
    assert RunStore(runs, run_id(good)).result() is not None
    assert "Traceback" in (runs / run_id(bad) / "failure.txt").read_text()
    assert [line.split()[0] for line in log.failures()] == [run_id(bad)]
    out = capsys.readouterr().out
    assert re.search(r"\[2/2\] .* validation error 0\.\d+ in \d+ s; about 0 min left", out)


def test_a_plan_lists_a_run_of_two_experiments_once():
    jobs = plan(["textures/laptop", "textures/shared"])
    assert len({job.id for job in jobs}) == len(jobs)
    both = [job for job in jobs if job.experiments == ("textures/laptop", "textures/shared")]
    assert {(job.settings["seed"], bool(job.settings["masks"])) for job in both} == {
        (seed, masked) for seed in range(5) for masked in (False, True)
    }


def test_a_run_that_several_values_of_a_sweep_share_is_planned_once():
    jobs = plan(["textures/laptop"], ["seed=0,0,1"])
    assert [(job.settings["seed"], job.places[0].kind) for job in jobs] == [
        (seed, kind) for seed in (0, 1) for kind in ("no masks", "two-scale masks")
    ]


def test_the_command_line_trains_one_run(tmp_path):
    done = train(tmp_path, "seed=3")
    assert done.returncode == 0, done.stderr
    assert re.search(r"runs/[0-9a-f]{12}: validation error 0\.\d+", done.stdout)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "override", ["epocs=3", "epochs=three", "masks.fine.p=2", "model.channels=wide"]
)
def test_the_command_line_names_a_bad_key_before_training(tmp_path, override):
    done = train(tmp_path, override)
    assert done.returncode != 0
    key = override.split("=")[0].rpartition(".")[0] or override.split("=")[0]
    assert key in done.stderr
    assert not list(tmp_path.rglob("metrics.jsonl"))


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_multirun_goes_on_after_a_failure_and_ends_with_the_list(tmp_path, launcher):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = ("masks.fine.p=0,2,0.5", f"hydra/launcher={launcher}")
    done = train(tmp_path, *sweep, multirun=True)
    assert done.returncode != 0
    assert "1 of 3 runs failed" in done.stderr
    assert "masks.fine" in done.stderr
    assert len(re.findall(r"^\[\d/3\] ", done.stdout, re.MULTILINE)) == 3
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 2
    threads = {
        json.loads(path.read_text())["threads"]
        for path in (tmp_path / "runs").glob("*/provenance.json")
    }
    if launcher == "joblib":
        assert threads == {1}


def test_a_refused_configuration_of_a_multirun_is_listed_and_the_others_are_collected(tmp_path):
    done = train(tmp_path, "warmup=0,1", multirun=True)
    assert done.returncode != 0
    assert "1 of 2 runs failed" in done.stderr
    assert "warmup must be in [0, 1); got 1" in done.stderr
    collected = python("experiments.collect", "--runs", str(tmp_path / "runs"))
    folder = Path(collected.stdout.strip())
    assert len(read(folder / "runs.csv")) == 1
    declared = json.loads((folder / "experiments.json").read_text())
    assert declared["experiments"]["sweep"] == {"swept": [], "metric": "test.error"}


def test_submitit_runs_jobs_by_its_local_executor(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    done = train(tmp_path, "seed=0,1", "hydra/launcher=submitit_local", multirun=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 2
    assert len(re.findall("validation error", done.stdout)) == 2


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Reproduce the smoke preset once."""
    results = tmp_path_factory.mktemp("results")
    done = python(
        "experiments.reproduce", "smoke", "--results", str(results), DATA=str(results / "data")
    )
    assert done.returncode == 0, done.stderr
    return results


def test_the_smoke_preset_ends_with_tables_and_pictures(smoke):
    table = read(smoke / "smoke/runs.csv")
    assert set(table["status"]) == {"finished"}
    assert len(table) == 4
    assert set(read(smoke / "smoke/curves.csv")["id"]) == set(table["id"])
    pictures = {path.name for path in (smoke / "smoke/pictures").iterdir()}
    assert pictures == {"samples.npz", "gradients.npz", "trained.npz"}


def started(words, folder, smoke):
    """Start a sweep in a session of its own, and wait until a run has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "DATA": str(smoke / "data")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(600):
        if list(folder.glob("runs/*/config.yaml")):
            break
        time.sleep(0.1)
    return process


def test_ctrl_c_ends_a_preset_with_a_sentence(smoke, tmp_path):
    words = ("experiments.reproduce", "smoke", "--results", str(tmp_path))
    process = started(words, tmp_path, smoke)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith("interrupted; the same command goes on")
    assert "Traceback" not in said
    assert "died" not in out


def session(leader):
    """Give the processes of a session that are no zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
            if int(of) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("launcher", ["preset", "joblib"])
def test_workers_end_with_the_process_that_started_them(launcher, how, smoke, tmp_path):
    words = ["experiments.reproduce", "smoke", "--results", str(tmp_path)]
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
        words = ["experiments.train", "-m", "hydra/launcher=joblib", *TINY, "epochs=2000"]
        words += [f"system.runs={tmp_path / 'runs'}", f"system.data={smoke / 'data'}", "seed=0,1"]
    process = started(words, tmp_path, smoke)
    assert len(session(process.pid)) > 1
    process.send_signal(how)
    process.communicate(timeout=60)  # pipes close when no worker holds them any more
    for _ in range(100):
        if not session(process.pid):
            break
        time.sleep(0.1)
    assert session(process.pid) == []


def test_complete_computes_only_what_the_table_lacks(smoke, tmp_path):
    table = read(smoke / "smoke/runs.csv")
    shutil.copytree(smoke / "smoke/pictures", tmp_path / "smoke/pictures")
    write(table.iloc[:3], tmp_path / "smoke/runs.csv")
    words = ("experiments.reproduce", "smoke", "--complete", "--results", str(tmp_path))
    done = python(*words, DATA=str(smoke / "data"))
    assert "1 runs, 1 of them to compute" in done.stdout
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 1
    after = read(tmp_path / "smoke/runs.csv")
    assert set(after["id"]) == set(table["id"])
    assert set(after["status"]) == {"finished"}


def test_a_row_is_run_again_from_the_table_alone(smoke):
    id = read(smoke / "smoke/runs.csv")["id"][1]
    done = python("experiments.rerun", id, "--results", str(smoke), DATA=str(smoke / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical to the table" in done.stdout


def test_a_row_that_does_not_exist_is_named(smoke):
    with pytest.raises(ValueError, match="0123"):
        find("0123", smoke)


def test_a_sweep_of_ones_own_is_collected(tmp_path):
    done = train(tmp_path, "masks.fine.p=0,0.5", "seed=0,1", multirun=True)
    assert done.returncode == 0, done.stderr
    collected = python("experiments.collect", "--runs", str(tmp_path / "runs"))
    assert collected.returncode == 0, collected.stderr
    table = read(Path(collected.stdout.strip()) / "runs.csv")
    assert len(table) == 4
    assert set(table["status"]) == {"finished"}


def test_a_job_that_was_killed_is_missed_in_the_log(tmp_path, capsys):
    log = SweepLog.create(tmp_path, 2, "multirun")
    log.add("abc", "seed=0", "validation error 0.100 in 1 s")
    assert report_failures(log) == 1
    assert "1 of 2 runs did not end" in capsys.readouterr().err
    log.add("def", "seed=1", "validation error 0.200 in 1 s")
    assert report_failures(log) == 0


def test_a_glob_sweeps_over_what_it_matches(tmp_path):
    done = train(tmp_path, "masks=glob(two_scale*)", "epochs=1", multirun=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\[\d/4\] ", done.stdout, re.MULTILINE)) == 4
    assert "4 runs ended" in done.stdout


def test_a_glob_that_matches_nothing_is_an_error(tmp_path):
    done = train(tmp_path, "masks=glob(nothing*)", multirun=True)
    assert done.returncode == 1
    assert "masks: masks=glob(nothing*) matches nothing" in done.stderr


def test_optuna_searches_and_its_trials_are_counted(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1"]
    space = ["masks.fine.p=choice(0.1,0.5)", "optimizer.lr=interval(0.001,0.1)", "epochs=1"]
    done = train(tmp_path, *search, *space, multirun=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\[\d/2\] ", done.stdout, re.MULTILINE)) == 2


def test_the_last_sweep_is_the_one_that_was_started_last_whatever_its_name(tmp_path):
    folder = tmp_path / "sweeps"
    folder.mkdir()
    for name, began in (("2026-11-01-03-00-00", 200), ("2026-11-01-02-30-00", 300)):
        head = {"jobs": 1, "start": began}
        (folder / f"multirun-{name}-1.jsonl").write_text(json.dumps(head) + "\n")
    assert "02-30" in last_sweep(tmp_path).path.name


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"{}\n", b'{"jobs": 1, "start": 1}\n{"id": 1}\n']
)
def test_a_damaged_log_is_named(tmp_path, content):
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"log\.jsonl is damaged"):
        SweepLog(tmp_path / "log.jsonl").lines()


def test_an_experiment_takes_a_key_out_of_the_sweep_that_it_is_built_on():
    params = {"seed": "0,1", "budget": ""}
    config = OmegaConf.create({"hydra": {"sweeper": {"params": params}}})
    assert sweep_parameters(config) == ["seed=0,1"]
    assert len(expand(sweep_parameters(config))) == 2


def test_arms_may_be_swept_over(tmp_path):
    arms = "arm='no masks','fine 0.5, coarse 0.5'"
    done = train(tmp_path, "experiment=textures/smoke", arms, "seed=0", "epochs=1", multirun=True)
    assert done.returncode == 0, done.stderr
    assert "2 runs ended" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_finished_run_is_served_from_a_disk_that_is_only_read(settings):
    tiny = settings("epochs=1")
    result = run(tiny)
    folder = Path(tiny["system"]["runs"]) / run_id(tiny)
    folder.chmod(0o555)
    try:
        assert run(tiny) == result
    finally:
        folder.chmod(0o755)


def test_a_finished_run_needs_no_lock(settings, monkeypatch):
    tiny = settings("epochs=1")
    result = run(tiny)

    def read_only(store):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(RunStore, "locked", read_only)
    assert run(tiny) == result


def test_a_run_of_none_of_its_experiments_arms_says_so(tmp_path):
    done = train(tmp_path, "experiment=textures/smoke", "epochs=1")
    assert "arm is not given" in done.stderr
    assert "'no masks'" in done.stderr
    assert train(tmp_path, "experiment=textures/smoke", "epochs=1", "arm=null").stderr == ""
