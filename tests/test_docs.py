"""The site of docs/: its recipes run, its reference and navigation are complete."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import backdrop.datasets
from experiments.build import build
from experiments.configurations import Configurations
from experiments.loop import batches_of, train_epoch
from experiments.plan import plan
from experiments.report import declarations
from tests.test_readme import PAGES, ROOT

DOCS = ROOT / "docs"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
IN_DOCS = [page for page in PAGES if page.is_relative_to(DOCS)]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)


def name(page):
    return page.relative_to(ROOT).as_posix()


def python_of(page):
    blocks = BLOCK.findall(page.read_text())
    return "".join(text for language, _, text in blocks if language == "python")


@pytest.mark.parametrize("page", list(filter(python_of, HOW_TO)), ids=name)
def test_the_python_code_of_a_recipe_runs(page, tmp_path, monkeypatch):
    code = python_of(page)
    for package in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    exec(code, {})


@pytest.fixture
def recipes_in_place(tmp_path, monkeypatch):
    """Put the titled files of the recipes where they say; give the configurations."""
    for page in HOW_TO:
        for _, title, text in BLOCK.findall(page.read_text()):
            if title:
                path = tmp_path / title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    found = [*backdrop.datasets.__path__, str(tmp_path / "backdrop/datasets")]
    monkeypatch.setattr(backdrop.datasets, "__path__", found)
    return Configurations((tmp_path / "conf",))


def test_the_experiment_of_the_recipes_is_planned_declared_and_learns(recipes_in_place):
    experiments = recipes_in_place.preset("mine")
    jobs = plan(experiments, conf=recipes_in_place)
    arms = {job.places[0].arm for job in jobs}
    assert arms == {"no masks", "fine 0.2", "fine 0.5", "fine 0.8"}
    declared = declarations(experiments, jobs, recipes_in_place)["experiments"]["stripes/fine_mask"]
    assert declared["baseline"] == "no masks"
    settings = jobs[-1].settings
    parts = build(settings)
    train = parts.dataset.load("train", Path())
    row = train_epoch(settings, parts, train, batches_of(settings, parts, train[1]), 1)
    assert row["gradient_norm"] > 0


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    listed = {line.rsplit(".", 1)[-1] for line in re.findall(r"^::: (\S+)$", pages, re.MULTILINE)}
    assert sorted(set(backdrop.__all__) - listed) == []


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """Knows mkdocs' tag for environment variables."""

    Loader.add_constructor("!ENV", lambda loader, node: loader.construct_sequence(node))
    navigation = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]
    found = re.findall(r"'([\w/-]+\.md)'", str(navigation))
    assert sorted(found) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", IN_DOCS, ids=name)
def test_lists_stand_apart_from_the_paragraph_before(page):
    """Python-Markdown, which makes the site, takes them for text of the paragraph otherwise."""
    text = BLOCK.sub("", page.read_text())
    assert re.findall(r"^(?!\* |\s).+\n\* .*", text, re.MULTILINE) == []
