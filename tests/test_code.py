"""By what name code goes, and which names stand for the same."""

import subprocess

import pytest

from experiments import run as module
from experiments.code import code_of, differs, is_committed_place, is_uncommitted
from experiments.run import run, say_stale
from tests.test_run import store_of


def git(folder, *words):
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "backdrop").mkdir()
    (tmp_path / "backdrop/mask.py").write_text("p = 0.5\n")
    (tmp_path / "notes.md").write_text("notes\n")
    (tmp_path / ".gitignore").write_text("__pycache__/\n/results/smoke/\n")
    commit(tmp_path)
    return tmp_path


def commit(tree):
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "all")


def test_changed_and_new_files_of_the_code_have_a_name_of_their_own(tree):
    names = [code_of(tree)]
    (tree / "backdrop/mask.py").write_text("p = 0.6\n")
    names.append(code_of(tree))
    (tree / "backdrop/mask.py").write_text("p = 0.5\n")
    (tree / "backdrop/new.py").write_text("")
    names.append(code_of(tree))
    (tree / "backdrop/new.py").write_text("x = 1\n")
    names.append(code_of(tree))
    assert len(set(names)) == 4
    assert [is_uncommitted(name) for name in names] == [False, True, True, True]
    assert len({name.partition("+")[0] for name in names}) == 1


def test_what_is_no_code_does_not_change_its_name(tree):
    before = code_of(tree)
    (tree / "notes.md").write_text("other notes\n")
    (tree / "backdrop/__pycache__").mkdir()
    (tree / "backdrop/__pycache__/mask.pyc").write_text("bytes")
    assert code_of(tree) == before


def test_commits_differ_if_they_changed_the_code(tree):
    first = code_of(tree)
    (tree / "notes.md").write_text("other notes\n")
    commit(tree)
    second = code_of(tree)
    (tree / "backdrop/mask.py").write_text("p = 0.6\n")
    changed = code_of(tree)
    commit(tree)
    third = code_of(tree)
    assert first != second
    assert not differs(first, second, tree)
    assert differs(first, third, tree)
    assert differs(changed, third, tree)
    assert differs("0123456789ab", third, tree)
    assert not differs("unknown", third, tree)


def test_outside_git_code_is_unknown(tmp_path):
    assert code_of(tmp_path) == "unknown"
    assert not is_committed_place(tmp_path)


def test_a_change_of_an_earlier_run_is_not_known(tree):
    assert not is_uncommitted("0123456789ab+")


def test_a_table_may_be_committed_where_git_does_not_ignore_it(tree):
    assert is_committed_place(tree / "results/laptop") or not (tree / "results").exists()
    for name in ("laptop", "smoke"):
        (tree / "results" / name).mkdir(parents=True)
    assert is_committed_place(tree / "results/laptop")
    assert not is_committed_place(tree / "results/smoke")


def test_a_finished_run_of_other_code_is_served_with_a_line(scored_settings, monkeypatch, capsys):
    settings = scored_settings("epochs=1")
    result = run(settings)
    assert run(settings) == result
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "differs", lambda code: True)
    assert run(settings) == result
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "made with other code" in said
    say_stale([store_of(settings)])
    assert "1 of 1 finished runs were made with other code" in capsys.readouterr().err
