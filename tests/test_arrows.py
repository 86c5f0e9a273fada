"""The arrows between parts of the repository: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("read", "compare", "figures", "write")
"""Of scripts, from the ground up: each imports from those before it, and from itself."""


def imports(path):
    """Give the dotted names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def offences(folder, forbidden):
    """Give the imports of files under a folder that lie in forbidden modules."""
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(folder)
        for name in imports(path)
        if any(name == one or name.startswith(f"{one}.") for one in forbidden)
    ]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("backdrop", ["experiments", "scripts", "hydra", "omegaconf", "pandas", "matplotlib"]),
        ("experiments", ["scripts", "matplotlib"]),
        ("scripts", ["experiments", "backdrop", "torch", "torchvision", "hydra", "omegaconf"]),
    ],
)
def test_no_arrow_leads_out_of_the_way(folder, forbidden):
    assert files(folder)
    assert offences(folder, forbidden) == []


@pytest.mark.parametrize("place", range(len(FLOORS)))
def test_a_floor_of_scripts_imports_from_none_above_it(place):
    above = [f"scripts.{floor}" for floor in FLOORS[place + 1 :]]
    commands = [f"scripts.{path.stem}" for path in (ROOT / "scripts").glob("[!_]*.py")]
    assert files(f"scripts/{FLOORS[place]}")
    assert offences(f"scripts/{FLOORS[place]}", [*above, *commands]) == []


def test_scripts_are_floors_and_commands_alone():
    assert {path.name for path in (ROOT / "scripts").iterdir() if path.is_dir()} - {
        "__pycache__"
    } == set(FLOORS)
    commands = (ROOT / "scripts").glob("[!_]*.py")
    assert all("if __name__" in path.read_text(encoding="utf-8") for path in commands)


@pytest.mark.parametrize("folder", ["backdrop", "experiments", "scripts"])
def test_no_module_imports_itself_by_way_of_others(folder):
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files(folder)
    }
    arrows = {name: set(imports(path)) & set(names) - {name} for name, path in names.items()}
    while free := [name for name, needed in arrows.items() if not needed]:
        for name in free:
            del arrows[name]
        arrows = {name: needed - set(free) for name, needed in arrows.items()}
    assert arrows == {}
