"""How many pairs of each primary comparison have been asked for: as many as its next look has.

A comparison that declares ``report.looks`` is decided while it runs. results/<preset>/looks.json
holds the pairs up to which it has been asked for, which ``experiments.reproduce --pairs`` raises.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.checksums import read_checked, write_checked
from experiments.configurations import PROJECT, Configurations

FILE = "looks.json"


def ask_for(folder: Path, pairs: Mapping[str, int]) -> None:
    """Record up to how many pairs experiments are asked for from now on."""
    asked = {**_read(folder / FILE), **pairs}
    folder.mkdir(parents=True, exist_ok=True)
    write_checked(folder / FILE, f"{json.dumps(asked, sort_keys=True)}\n".encode())


def _read(path: Path) -> dict[str, int]:
    content = read_checked(path)
    return dict(json.loads(content)) if content else {}


def pairs_asked(
    folder: Path, experiments: Sequence[str], conf: Configurations = PROJECT
) -> dict[str, int]:
    """Give the pairs of each experiment that has looks: those of its first look at the least.

    Args:
        folder: of the preset's tables.
        experiments: of the preset.
        conf: where configurations lie.

    Raises:
        ValueError: a number that is no look of its experiment, named with the file.
    """
    path = folder / FILE
    asked = _read(path)
    configs = conf.experiments(experiments)
    looks = {name: list(c.report.looks) for name, c in configs.items() if c.report.looks}
    for name, pairs in asked.items():
        if pairs not in looks.get(name, ()):
            known = ", ".join(map(str, looks.get(name, ()))) or "none"
            raise ValueError(f"{path}: {name} must be one of its looks, {known}; got {pairs}")
    return {name: asked.get(name, each[0]) for name, each in looks.items()}
