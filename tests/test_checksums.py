"""What was written is what is read, or it is refused; at every moment of a write it is whole."""

import pytest

from experiments import checksums
from experiments.checksums import Damaged, read_checked, sealed, unsealed, write_checked


def test_a_sealed_content_is_given_back_and_one_that_was_changed_is_not():
    content = sealed(b"numbers")
    assert unsealed(content) == b"numbers"
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        assert unsealed(bytes(changed)) is None
        assert unsealed(content[:place]) is None


def test_a_file_that_was_changed_cut_or_lost_is_refused_with_its_path(tmp_path):
    path = tmp_path / "runs.csv"
    write_checked(path, b"id\na\n")
    assert read_checked(path) == b"id\na\n"
    for damage in (
        lambda: path.write_bytes(b"id\nb\n"),
        lambda: path.write_bytes(b""),
        path.unlink,
    ):
        damage()
        with pytest.raises(Damaged, match=rf"^{path} is damaged .*--renew {tmp_path}$"):
            read_checked(path)


def test_every_change_of_the_sums_is_noticed_for_one_file_or_another(tmp_path):
    for name in ("runs.csv", "curves.csv"):
        write_checked(tmp_path / name, name.encode())
    sums = tmp_path / checksums.NAME
    content = sums.read_bytes()
    for place in range(len(content)):
        sums.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(Damaged):
            [read_checked(tmp_path / name) for name in ("runs.csv", "curves.csv")]


def test_a_folder_without_sums_is_read_and_the_first_write_takes_what_is_there(tmp_path):
    (tmp_path / "curves.csv").write_bytes(b"old")
    assert read_checked(tmp_path / "curves.csv") == b"old"
    write_checked(tmp_path / "runs.csv", b"new")
    (tmp_path / "curves.csv").write_bytes(b"odd")
    with pytest.raises(Damaged, match=r"curves\.csv"):
        read_checked(tmp_path / "curves.csv")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moments", [(0,), (1,), (2,), (0, 1), (1, 0), (1, 1), (2, 1)])
def test_kills_while_a_file_is_replaced_leave_the_old_or_new_one(tmp_path, monkeypatch, moments):
    path = tmp_path / "runs.csv"
    write_checked(path, b"0")
    known = {b"0"}
    write = checksums.write_atomically
    for number, moment in enumerate(moments, 1):
        written = []

        def interrupted(path, content, moment=moment, written=written):
            if len(written) == moment:
                raise Killed
            written.append(path)
            write(path, content)

        monkeypatch.setattr(checksums, "write_atomically", interrupted)
        content = str(number).encode()
        with pytest.raises(Killed):
            write_checked(path, content)
        known.add(content)
        assert read_checked(path) in known
    monkeypatch.setattr(checksums, "write_atomically", write)
    write_checked(path, b"last")
    assert read_checked(path) == b"last"
    assert len((tmp_path / checksums.NAME).read_text().splitlines()) == 1


def test_renewing_takes_the_files_as_they_are(tmp_path, monkeypatch, capsys):
    path = tmp_path / "runs.csv"
    write_checked(path, b"id\na\n")
    path.write_bytes(b"id\nb\n")
    monkeypatch.setattr("sys.argv", ["checksums", "--renew", str(tmp_path)])
    checksums.main()
    assert read_checked(path) == b"id\nb\n"
    assert "1 files" in capsys.readouterr().out


def test_a_write_that_fails_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checksums.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*runs\.csv'"):
        checksums.write_atomically(tmp_path / "runs.csv", b"id\n")
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    dead, alive = tmp_path / "runs.csv.999999999.tmp", tmp_path / "runs.csv.1.tmp"
    dead.touch(), alive.touch()
    checksums.write_atomically(tmp_path / "runs.csv", b"id\n")
    assert {path.name for path in tmp_path.iterdir()} == {"runs.csv", alive.name}
