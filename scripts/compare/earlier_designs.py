"""Rows that no experiment asks for any more, and what they say to the claims all the same.

Nothing declares their arms: an arm is here all runs that differ in their seed only. It is compared
with arms that agree with it in all that the declared arms of one setting have in common.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from scripts.compare.arms import Arm
from scripts.compare.comparison import Comparison
from scripts.read.declared import Experiment
from scripts.read.naming import settings_in_words
from scripts.read.preset import Preset
from scripts.read.tables import CONFIG, SEED, config_columns, finished

_DATA = ("config.dataset._target_", "config.metric")
"""What rows to be compared have in common: the data, and how they are judged."""

_MASKS = "masks"

Values = tuple[Hashable, ...]


def left_over(preset: Preset) -> pd.DataFrame:
    """Give the finished rows that stand in no experiment of the preset."""
    asked = {id for frame in preset.frames.values() for id in frame["id"]}
    rows = finished(preset.runs)
    return rows[~rows["id"].isin(asked)]


def earlier_comparisons(preset: Preset) -> list[Comparison]:
    """Compare arms with masks and without, where one of them is of an earlier design.

    Rows of an earlier design meet one another, and those arms that test a claim on the same data.
    """
    old = left_over(preset)
    return [
        one
        for folder, chapter in preset.declared.chapters.items()
        if chapter.claim
        for one in _of_chapter(preset, preset.declared.of_chapter(folder), old)
    ]


def _of_chapter(
    preset: Preset, experiments: Sequence[Experiment], old: pd.DataFrame
) -> list[Comparison]:
    testing = [one for one in experiments if one.claim]
    data = {each for one in experiments for each in _cells(preset.frames[one.name], _DATA)}
    old = old[[each in data for each in _cells(old, _DATA)]]
    if old.empty or not testing:
        return []
    frames = [preset.frames[one.name] for one in testing]
    names = _names(frames)
    own = finished(preset.runs)
    rows = pd.concat([old, own[own["id"].isin(names)]]).sort_values(SEED, ignore_index=True)
    treated = [key for key in config_columns(rows) if any(_is_treated(f, key) for f in frames)]
    context = [key for key in config_columns(rows) if key not in treated]
    compared = [
        Comparison(testing[0], masked, other)
        for arms in _arms(rows, treated, context, names)
        for masked in arms
        for other in arms
        if masked.kind == _MASKS and other.kind != _MASKS
        and (_is_old(masked, names) or _is_old(other, names))
    ]  # fmt: skip
    return [one for one in compared if one.pairs]


def _is_treated(frame: pd.DataFrame, key: str) -> bool:
    """Tell whether declared arms of one setting differ in a key."""
    return bool((frame.groupby("setting")[key].nunique(dropna=False) > 1).any())


def _is_old(arm: Arm, names: Mapping[str, str]) -> bool:
    return arm.ids.isdisjoint(names)


def _arms(
    rows: pd.DataFrame, treated: list[str], context: list[str], names: Mapping[str, str]
) -> list[list[Arm]]:
    """Split rows into arms, a list for each setting of what is not under test."""
    members: dict[Values, dict[Values, list[int]]] = defaultdict(lambda: defaultdict(list))
    ids, where = rows["id"].tolist(), _cells(rows, context)
    old = {setting for id, setting in zip(ids, where, strict=True) if id not in names}
    for place, (setting, values) in enumerate(zip(where, _cells(rows, treated), strict=True)):
        if setting in old:
            members[setting][values].append(place)
    settings = _in_words(list(members), context)
    labels = _in_words(list(dict.fromkeys(v for arms in members.values() for v in arms)), treated)
    masks = [place for place, key in enumerate(treated) if _is_probability(key)]
    return [
        [
            Arm(
                settings[setting],
                _MASKS if any(values[place] for place in masks) else "",
                names.get(ids[places[0]], labels[values]),
                "",
                rows,
                np.array(places),
            )
            for values, places in arms.items()
        ]
        for setting, arms in members.items()
    ]


def _cells(rows: pd.DataFrame, columns: Iterable[str]) -> list[Values]:
    """Give the values of each row in those columns that there are."""
    return list(rows[[c for c in columns if c in rows]].itertuples(index=False, name=None))


def _is_probability(key: str) -> bool:
    return key.startswith(f"{CONFIG}masks.") and key.endswith(".p")


def _in_words(rows: Sequence[Values], keys: Sequence[str]) -> dict[Values, str]:
    """Name each row by all probabilities and as few other keys as tell all of them apart."""
    shown = [place for place, key in enumerate(keys) if _is_probability(key)]
    for place in range(len(keys)):
        if _told_apart(rows, [*shown, place]) > _told_apart(rows, shown):
            shown.append(place)
    named = {row: {keys[place]: row[place] for place in shown} for row in rows}
    return {
        row: settings_in_words({key: value for key, value in each.items() if value is not None})
        for row, each in named.items()
    }


def _told_apart(rows: Sequence[Values], places: Sequence[int]) -> int:
    return len({tuple(row[place] for place in places) for row in rows})


def _names(frames: Iterable[pd.DataFrame]) -> dict[str, str]:
    """Give the declared arm of each run by its id, with what a search chose for it."""
    columns = ["id", "arm", "chosen"]
    rows = [row for frame in frames for row in frame[columns].itertuples(index=False)]
    return {id: f"{arm} ({chosen})" if chosen else arm for id, arm, chosen in rows}
