"""Read a preset: what its experiments declare, and one table of runs for each of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from scripts.read.declared import Declared, Experiment, read_declared
from scripts.read.outputs import ItemOutputs, read_outputs
from scripts.read.tables import CONFIG, SEED, read_curves, read_runs, read_text

ARM = ["setting", "kind", "arm", "tried"]
"""What the runs of an arm have in common: they differ in their seed only."""
SHARE = "share"
SAMPLE_MASKS = ("config.masks.samples.p", "config.masks.stratified_samples.p")


@dataclass(frozen=True, eq=False)
class Preset:
    """A preset's declarations, all its runs, and those of each experiment with their arms.

    ``frames`` have a row for each run of the experiment, arms in the order of the report, with the
    columns of runs.csv, those of arms.csv and ``share``. ``outputs`` are those of the runs of
    primary comparisons on each item of the test set.
    """

    name: str
    declared: Declared
    runs: pd.DataFrame
    curves: pd.DataFrame
    frames: Mapping[str, pd.DataFrame]
    outputs: Mapping[str, ItemOutputs] = field(default_factory=dict)


def read_preset(folder: Path) -> Preset:
    """Read a folder under results/.

    Raises:
        ValueError: if a file is not there, which collecting makes, or if arms.csv says of two runs
            of one seed that they are the same arm.
    """
    declared, arms = read_arms(folder)
    runs = read_runs(_there(folder, "runs.csv"))
    curves = read_curves(_there(folder, "curves.csv"))
    frames = {
        name: frame(experiment, arms[arms["experiment"] == name], runs)
        for name, experiment in declared.experiments.items()
    }
    outputs = read_outputs(folder / "outputs.npz")
    return Preset(folder.name, declared, runs, curves, frames, outputs)


def read_arms(folder: Path) -> tuple[Declared, pd.DataFrame]:
    """Read what experiments declare, and the arm of each run in each of them.

    Raises:
        ValueError: if a file is not there, which collecting makes.
    """
    declared = read_declared(_there(folder, "experiments.json"))
    return declared, read_text(_there(folder, "arms.csv"))


def _there(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        raise ValueError(f"{folder / name} is not there: make collect PRESET={folder.name}")
    return folder / name


def frame(experiment: Experiment, arms: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Join the arms of an experiment to its runs, in the order of the report.

    Settings and labels are ordered by the numbers in them, kinds as in the experiment's file.

    Raises:
        ValueError: if two runs of one seed are said to be the same arm.
    """
    own = arms.merge(runs, on="id", how="inner")
    twice = own[own.duplicated([*ARM, SEED])]
    if len(twice):
        arm, id = twice["arm"].iloc[0], twice["id"].iloc[0]
        raise ValueError(f"arms.csv: {experiment.name} has arm {arm!r} twice at one seed, run {id}")
    kinds = {kind: place for place, kind in enumerate(experiment.kinds)}
    places = [
        (_by_numbers(setting), kinds.get(kind, len(kinds)), _by_numbers(arm), _by_numbers(tried))
        for setting, kind, arm, tried in own[ARM].itertuples(index=False)
    ]
    order = sorted(range(len(own)), key=lambda row: (places[row], own[SEED][row]))
    own = own.assign(**{SHARE: share(own)})
    return own.iloc[order].reset_index(drop=True)


def share(runs: pd.DataFrame) -> pd.Series:
    """Give the share of the samples that an update does without; NaN if that is not known."""
    size, samples, *masks = (
        pd.to_numeric(runs[key], errors="coerce") if key in runs else pd.Series(None, runs.index)
        for key in (f"{CONFIG}batch_size", f"{CONFIG}dataset.train", *SAMPLE_MASKS)
    )
    masked = pd.concat(masks, axis=1).max(axis=1).fillna(0.0)
    return (1 - size / samples).round(3).where(size.notna(), masked)


def _by_numbers(text: str) -> list[tuple[float, str]]:
    """Give a key that sorts texts by the numbers in them.

    >>> sorted(["of 400", "of 80"], key=_by_numbers)
    ['of 80', 'of 400']
    """
    words = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", text)
    return [(float(word), "") if place % 2 else (0.0, word) for place, word in enumerate(words)]
