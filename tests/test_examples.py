"""The examples run, small, and what is committed of the notebooks is whole."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.test_readme import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def cells(notebook):
    return [c for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "code"]


def test_the_script_on_textures_trains_both_arms(capsys):
    path = ROOT / "examples/textures.py"
    spec = importlib.util.spec_from_file_location("textures_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tiny = ["--seeds", "1", "--epochs", "2", "--size", "64", "--images", "8", "--test", "8"]
    errors = module.main([*tiny, "--channels", "4"])
    assert [len(found) for found in errors.values()] == [1, 1]
    assert "masks at both scales: mean test error" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_small(notebook, tmp_path, monkeypatch):
    """As a script in a process of its own, where pictures open no windows."""
    for name, value in {"SMALL": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    code = "\n".join("".join(cell["source"]) for cell in cells(notebook))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_it_ran_from_top_to_bottom(notebook):
    counts = [cell["execution_count"] for cell in cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in cells(notebook) for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
    assert notebook.stat().st_size < 300_000
