"""The cache gives exactly what was made, or makes it again; it never gives anything else."""

import json
import multiprocessing
import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from backdrop.datasets.cache import cached

SPEC = {"name": "numbers", "size": 3, "lengths": [[1.5, 2.0], [8.0]]}
ARRAY = np.arange(600, dtype=np.float32).reshape(2, 300)


def refuse():
    raise AssertionError("made although the file was good")


def fill(folder, spec=SPEC, array=ARRAY):
    """Give the .npy and .json files of a freshly cached array."""
    np.testing.assert_array_equal(cached(folder, spec, lambda: array), array)
    (file,) = folder.glob("*.npy")
    return file, file.with_suffix(".json")


def assert_made_anew(folder, match):
    made = []
    with pytest.warns(UserWarning, match=match):
        again = cached(folder, SPEC, lambda: made.append(1) or ARRAY)
    assert made == [1]
    np.testing.assert_array_equal(again, ARRAY)
    np.testing.assert_array_equal(cached(folder, SPEC, refuse), ARRAY)


@pytest.mark.parametrize("array", [ARRAY, ARRAY.T, np.arange(5), np.float64(3.5), ARRAY[:0]])
def test_an_array_comes_back_with_the_same_bits_type_and_shape(tmp_path, array):
    fill(tmp_path, array=array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = cached(tmp_path, SPEC, refuse)
    assert (again.dtype, again.shape) == (np.asarray(array).dtype, np.shape(array))
    assert again.tobytes() == np.asarray(array).tobytes()


def test_the_file_is_named_after_the_spec_and_nothing_temporary_remains(tmp_path):
    file, note = fill(tmp_path / "new" / "folder")
    assert file.name.startswith("numbers-")
    assert json.loads(note.read_text())["spec"] == SPEC
    assert {path.suffix for path in file.parent.iterdir()} <= {".npy", ".json", ".lock"}


@pytest.mark.parametrize(
    "other", [{"size": 4}, {"lengths": [[1.5, 2.0], [9.0]]}, {"extra": None}, {"name": "others"}]
)
def test_different_specs_have_different_files(tmp_path, other):
    fill(tmp_path)
    np.testing.assert_array_equal(cached(tmp_path, SPEC | other, lambda: ARRAY + 1), ARRAY + 1)
    np.testing.assert_array_equal(cached(tmp_path, SPEC, refuse), ARRAY)


def test_the_order_of_keys_and_tuples_for_lists_do_not_make_another_spec(tmp_path):
    fill(tmp_path)
    same = dict(reversed(SPEC.items())) | {"lengths": ((1.5, 2.0), (8.0,))}
    np.testing.assert_array_equal(cached(tmp_path, same, refuse), ARRAY)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_made_anew(tmp_path, keep):
    file, _ = fill(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])
    assert_made_anew(tmp_path, "SHA-256")


@pytest.mark.parametrize("place", [3, 20, 200, -1])
def test_a_file_with_a_flipped_bit_is_made_anew(tmp_path, place):
    file, _ = fill(tmp_path)
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert_made_anew(tmp_path, "SHA-256")


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_missing_file_of_the_two_is_made_anew(tmp_path, suffix):
    file, _ = fill(tmp_path)
    file.with_suffix(suffix).unlink()
    assert_made_anew(tmp_path, "cannot be read")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"spec": 1}', "\udcff"])
def test_a_damaged_note_is_made_anew(tmp_path, text):
    _, note = fill(tmp_path)
    note.write_bytes(text.encode(errors="surrogateescape"))
    assert_made_anew(tmp_path, "made anew")


def test_a_note_of_another_spec_is_made_anew(tmp_path):
    _, note = fill(tmp_path)
    note.write_text(json.dumps(json.loads(note.read_text()) | {"spec": SPEC | {"size": 4}}))
    assert_made_anew(tmp_path, "another spec")


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_pickled_objects_are_refused_and_not_executed(tmp_path, monkeypatch):
    import hashlib

    monkeypatch.chdir(tmp_path)
    file, note = fill(tmp_path)
    np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    note.write_text(json.dumps({"spec": SPEC, "sha256": digest}))
    assert_made_anew(tmp_path, "allow_pickle")
    assert not Path("executed").exists()


def test_an_array_of_objects_is_not_cached(tmp_path):
    with pytest.raises(ValueError, match="dtype object"):
        cached(tmp_path, SPEC, lambda: np.array([Trap()]))
    assert not list(tmp_path.glob("*.npy"))


def test_an_error_of_the_maker_passes_and_leaves_the_entry_free(tmp_path):
    with pytest.raises(ZeroDivisionError):
        cached(tmp_path, SPEC, lambda: 1 / 0)
    with pytest.raises(OSError, match=r"^its own$"):
        cached(tmp_path, SPEC, lambda: (_ for _ in ()).throw(OSError("its own")))
    fill(tmp_path)


def test_a_write_that_fails_half_way_leaves_nothing_that_passes_for_finished(tmp_path, monkeypatch):
    def full_disk(file, array, allow_pickle):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full_disk)
        with pytest.raises(OSError, match=r"cannot be written .*No space left"):
            cached(tmp_path, SPEC, lambda: ARRAY)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}
    fill(tmp_path)


def record_and_make(record):
    """Count in a folder how often an array is made, slowly enough for others to come in."""
    (record / f"{time.time_ns()}-{os.getpid()}").touch()
    time.sleep(0.5)
    return ARRAY


def test_threads_that_ask_together_make_the_array_once(tmp_path):
    record = tmp_path / "record"
    record.mkdir()
    with ThreadPoolExecutor(4) as pool:
        arrays = list(
            pool.map(lambda _: cached(tmp_path, SPEC, lambda: record_and_make(record)), range(4))
        )
    assert len(list(record.iterdir())) == 1
    assert all(np.array_equal(array, ARRAY) for array in arrays)


def ask(folder, record, answers):
    answers.put(float(cached(folder, SPEC, lambda: record_and_make(record)).sum()))


def test_processes_that_ask_together_make_the_array_once(tmp_path):
    record = tmp_path / "record"
    record.mkdir()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=ask, args=(tmp_path, record, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [float(ARRAY.sum())] * 2
    for process in processes:
        process.join(timeout=60)
    assert len(list(record.iterdir())) == 1


def test_a_folder_that_cannot_be_written_gives_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    with pytest.raises(OSError, match=f"cache folder {folder} cannot be written"):
        cached(folder, SPEC, lambda: ARRAY)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_only_be_read_serves_what_it_holds(tmp_path):
    fill(tmp_path)
    tmp_path.chmod(0o500)
    try:
        np.testing.assert_array_equal(cached(tmp_path, SPEC, refuse), ARRAY)
        with pytest.raises(OSError, match="cannot be written"):
            cached(tmp_path, SPEC | {"size": 4}, lambda: ARRAY)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", [None, 3, "", "../up", "a/b", ".hidden"])
def test_a_name_that_cannot_begin_a_file_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name"):
        cached(tmp_path, {"name": name}, refuse)


def test_values_that_json_does_not_have_are_refused(tmp_path):
    with pytest.raises(TypeError, match="JSON"):
        cached(tmp_path, {"name": "a", "value": {1, 2}}, refuse)
    with pytest.raises(ValueError, match="JSON"):
        cached(tmp_path, {"name": "a", "value": float("nan")}, refuse)
