"""How many pairs of a primary comparison are asked for."""

import json

import pytest

from experiments.looks import FILE, ask_for, pairs_asked
from experiments.plan import plan

PRIMARY = "auc/letter"


def seeds(jobs):
    return list(dict.fromkeys(job.settings["seed"] for job in jobs))


def test_the_first_seeds_are_asked_for_in_their_order():
    jobs = plan(["textures/laptop"], pairs={"textures/laptop": 3})
    assert seeds(jobs) == [0, 1, 2]
    assert len(jobs) == 6


def test_other_experiments_keep_all_their_seeds():
    assert seeds(plan(["textures/laptop"], pairs={PRIMARY: 3})) == list(range(10))


def test_a_primary_is_asked_for_the_pairs_of_its_first_look(tmp_path):
    assert pairs_asked(tmp_path, [PRIMARY, "textures/laptop"]) == {PRIMARY: 20}


def test_a_later_look_is_read_from_the_presets_folder(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({PRIMARY: 60}))
    assert pairs_asked(tmp_path, [PRIMARY]) == {PRIMARY: 60}


@pytest.mark.parametrize("asked", [{PRIMARY: 21}, {"textures/laptop": 20}])
def test_what_is_no_look_is_refused_with_the_file(tmp_path, asked):
    (tmp_path / FILE).write_text(json.dumps(asked))
    with pytest.raises(ValueError, match=FILE):
        pairs_asked(tmp_path, [PRIMARY, "textures/laptop"])


def test_what_is_asked_for_stays_asked_for(tmp_path):
    ask_for(tmp_path / "new", {PRIMARY: 40})
    assert pairs_asked(tmp_path / "new", [PRIMARY]) == {PRIMARY: 40}
    ask_for(tmp_path / "new", {})
    assert pairs_asked(tmp_path / "new", [PRIMARY]) == {PRIMARY: 40}
