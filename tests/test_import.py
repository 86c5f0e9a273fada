"""The library alone needs torch and nothing else."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Runs where nothing can be imported but the standard library, torch and what torch requires.
BARE = """
import re, sys
from importlib.metadata import requires

def allowed():
    names, left = set(), ["torch"]
    while left:
        name = left.pop()
        if name in names:
            continue
        names.add(name)
        try:
            wanted = requires(name) or ()
        except ModuleNotFoundError:
            continue
        left += [re.split(r"[^A-Za-z0-9_.-]", w)[0] for w in wanted if "extra ==" not in w]
    modules = {name.lower().replace("-", "_") for name in names}
    # torch looks for these, and works without them.
    return modules | {"typing_extensions", "torch", "torchgen", "functorch", "mpmath", "markupsafe"}

KNOWN = allowed() | {name.lower() for name in sys.stdlib_module_names} | {"backdrop"}

# Finds what is known, as if nothing else were installed.
class Bare:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        known = name.split(".")[0].lower() in KNOWN or name.startswith("_sysconfigdata")
        return self.finder.find_spec(name, path, target) if known else None

sys.meta_path[:] = [Bare(finder) for finder in sys.meta_path]
"""


def run_bare(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE + code],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


def test_the_library_and_its_models_import_with_torch_alone():
    heavy = ("numpy", "scipy", "sklearn", "torchvision", "PIL", "threadpoolctl", "pandas")
    found = run_bare(
        "import backdrop, backdrop.models, backdrop.losses, backdrop.datasets\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "[]"


def test_the_library_works_with_torch_alone():
    code = """
import torch
from torch import nn
from backdrop import Backdrop, place, receptive_field, survivors
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
place(model, {"1": Backdrop(0.5)})
survivors(model, always=True)
model(torch.randn(2, 3, 8, 8)).sum().backward()
print(receptive_field(model, (1, 3, 8, 8))["2"].size)
"""
    found = run_bare(code)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "(5, 5)"


def test_textures_name_the_extra_that_they_need():
    found = run_bare("import backdrop\nbackdrop.TextureCross")
    assert "install 'backdrop[datasets]'" in found.stderr
    assert "backdrop.TextureCross needs" in found.stderr


def test_every_public_name_is_there():
    import backdrop

    assert all(getattr(backdrop, name) for name in backdrop.__all__)


def test_the_base_dependency_is_torch_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [name.split(">")[0] for name in project["dependencies"]] == ["torch"]
