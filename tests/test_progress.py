"""How far a preset is said to be, and how long it is said to take."""

import time

import pytest

from experiments.identity import question_id, run_id
from experiments.plan import Job, Place
from experiments.progress import Progress, expected_seconds


def job(settings, experiment="one"):
    return Job(run_id(settings), (Place(experiment),), "", settings)


@pytest.fixture
def jobs(scored_settings):
    return [job(scored_settings(f"epochs={epochs}")) for epochs in (2, 4)]


def test_a_run_takes_what_it_took_before_or_what_its_experiment_takes_an_epoch(jobs):
    finished = {question_id(jobs[0].settings): {"seconds": 10.0}}
    assert expected_seconds(jobs, finished) == {jobs[0].id: 10.0, jobs[1].id: 20.0}
    assert expected_seconds(jobs, {}) == {}


def test_the_line_tells_what_has_ended_what_is_under_way_and_what_is_left(jobs, tmp_path):
    expected = {jobs[0].id: 60.0, jobs[1].id: 240.0}
    progress = Progress(jobs, tmp_path, 1, expected)
    assert progress.line() == "0 of 2 runs ended; about 5 min left"
    (tmp_path / jobs[1].id).mkdir()
    (tmp_path / jobs[1].id / "metrics.jsonl").write_text("{}\n{}\n")
    with progress.of(jobs[1]):
        assert progress.line() == (
            f"0 of 2 runs ended; under way: {jobs[1].id} (epoch 2/4); about 3 min left"
        )
    assert progress.line().startswith("1 of 2 runs ended; about 0 min")  # at the pace of the first


def test_without_anything_known_no_time_is_given(jobs, tmp_path):
    progress = Progress(jobs, tmp_path, 1, {})
    assert progress.line() == "0 of 2 runs ended"


def test_the_line_is_printed_again_and_again(jobs, tmp_path, capsys):
    with Progress(jobs, tmp_path, 1, {}).said(every=0.02):
        time.sleep(0.2)
    said = capsys.readouterr().out
    assert said.count("0 of 2 runs ended") > 2
