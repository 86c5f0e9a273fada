"""Committed files are checked against the sums beside them."""

import pytest

from experiments.checksums import NAME, write_checked
from scripts.read.checked import read_checked, read_sums


@pytest.fixture
def path(tmp_path):
    """A file with its sum."""
    path = tmp_path / "runs.csv"
    write_checked(path, b"id,seed\na,0\n")
    return path


def test_what_was_written_is_read(path):
    assert read_checked(path) == b"id,seed\na,0\n"
    assert set(read_sums(path.parent)) == {"runs.csv"}


def test_a_change_by_hand_is_refused_with_the_file_and_the_ways_out(path):
    path.write_bytes(b"id,seed\na,1\n")
    with pytest.raises(ValueError, match=rf"{path} is damaged .* --renew {path.parent}"):
        read_checked(path)


def test_a_file_that_the_sums_do_not_name_is_refused(path):
    other = path.with_name("curves.csv")
    other.write_bytes(b"")
    with pytest.raises(ValueError, match=r"curves\.csv is damaged"):
        read_checked(other)


def test_without_sums_everything_is_read(path):
    (path.parent / NAME).unlink()
    path.write_bytes(b"changed")
    assert read_checked(path) == b"changed"
