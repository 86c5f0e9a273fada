"""The arms of an experiment: what each sets, and what of its own is tried in a search."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import yaml
from omegaconf import DictConfig

from experiments.configurations import Configurations
from experiments.naming import kind_of
from experiments.search import combinations, configurations

Values = Mapping[str, Any]


@dataclass(frozen=True)
class ArmRun:
    """One run of an arm, but for the settings and seeds that an experiment sweeps over.

    Attributes:
        name: of the arm, with placeholders for settings.
        kind: what arms have in common that differ in a number.
        sets: values by key.
        tried: those of ``sets`` that a search tries.
    """

    name: str = ""
    kind: str = ""
    sets: Values = field(default_factory=dict)
    tried: Values = field(default_factory=dict)


def arm_runs(config: DictConfig) -> list[ArmRun]:
    """Give the arms of an experiment with what each sets, in the order of their file.

    An arm that has ``each`` stands once for every combination of these values. In a search every
    arm tries as many configurations of ``search.space`` and its own ``space``, or all of them:
    seeds vary slowest and arms fastest, so that an unfinished search has treated them alike. An
    experiment that names no arms has one without a name.

    Raises:
        ValueError: a search without seeds or arms, or a space that cannot be read.
    """
    search = config.search
    if not (search.configurations or search.grid):
        return arms_of(config) or [ArmRun()]
    if not config.arms or not search.seeds:
        raise ValueError("search needs arms, and search.seeds")
    tried = {name: _tried(search, node) for name, node in config.arms.items()}
    return [
        ArmRun(run.name, run.kind, {**run.sets, **values, "seed": seed}, values)
        for seed in search.seeds
        for place in range(max(map(len, tried.values())))
        for name, node in config.arms.items()
        for values in tried[name][place : place + 1]
        for run in _each(name, node)
    ]


def arms_of(config: DictConfig) -> list[ArmRun]:
    """Give the arms that an experiment names, without what a search tries."""
    return [run for name, node in config.arms.items() for run in _each(name, node)]


def _tried(search: DictConfig, node: DictConfig) -> Sequence[Values]:
    space = {**search.space, **node.space}
    if search.grid:
        return combinations(space)
    return configurations(space, search.configurations, search.stream)


def _each(name: str, node: DictConfig) -> Iterator[ArmRun]:
    for values in product(*node.each.values()):
        sets = {**node.set, **dict(zip(node.each, values, strict=True))}
        yield ArmRun(name, node.kind or kind_of(name), sets)


def read_chosen(conf: Configurations, experiment: str) -> dict[str, dict[str, Any]]:
    """Give what the search of an experiment chose, by arm, or by ``arm (setting)``.

    Raises:
        ValueError: nothing has been chosen yet.
    """
    path = conf.find(f"chosen/{experiment}.yaml")
    if path is None:
        raise ValueError(
            f"chosen_by: {experiment} has chosen nothing yet: run its preset, then "
            "python -m experiments.choose"
        )
    return dict(yaml.safe_load(path.read_text()) or {})


def chosen_for(arm: str, setting: str, chosen: Mapping[str, Values]) -> Values:
    """Give what was chosen for an arm in a setting, in a part of it, or in whatever setting.

    >>> chosen_for("masks", "10 % positive, equal passes", {"masks (equal passes)": {"p": 0.5}})
    {'p': 0.5}

    Raises:
        ValueError: the arm is not in the file, in which one with nothing to choose has nothing.
    """
    for part in (setting, *setting.split(", ")):
        if f"{arm} ({part})" in chosen:
            return chosen[f"{arm} ({part})"]
    if arm in chosen:
        return chosen[arm]
    raise ValueError(f"chosen_by: there is nothing for the arm {arm!r}, {setting or 'any setting'}")
