"""Split the runs of an experiment into arms: runs that differ in their seed only."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from scripts import labels
from scripts.labels import Settings, groups_of, masks_of
from scripts.results_table import ABSENT, CONFIG, finished

HARDWARE_KEYS = ("device", "precision")
"""Keys that each machine resolves for itself; they are part of the hardware, not of an arm."""


@dataclass(frozen=True, eq=False)
class Arm:
    """The runs of one arm, finished or not, and what sets it apart from the other arms.

    ``treatment`` holds the varying settings that are under test (the masks, unless a section says
    otherwise), ``context`` the other varying ones (optimizer, model, data): an arm is compared
    with a baseline of the same context. ``settings`` is all that its runs have in common.
    """

    treatment: Settings
    context: Settings
    settings: Settings
    label: str
    context_label: str
    runs: pd.DataFrame

    @property
    def full_label(self) -> str:
        """Name the arm with its context."""
        return f"{self.label} ({self.context_label})" if self.context_label else self.label

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Give the runs that have results."""
        return finished(self.runs)

    @cached_property
    def unfinished(self) -> pd.DataFrame:
        """Give the runs that failed or are missing."""
        return self.runs[self.runs["status"] != "finished"]

    @property
    def masks(self) -> dict[str, Settings]:
        """Give the settings of the active masks by name."""
        return masks_of(self.settings)


def settings_of(runs: pd.DataFrame) -> list[Settings]:
    """Give each run's settings without what cannot set arms apart.

    Left out are seeds and the keys that equal the seed throughout, device and precision, nulls and
    empty groups, and every key of a mask with p = 0, since that mask does nothing.
    """
    columns = [column for column in runs if column.startswith(CONFIG)]
    keys = [column.removeprefix(CONFIG) for column in columns]
    rows = [
        {key: value for key, value in zip(keys, row, strict=True) if not _empty(value)}
        for row in runs[columns].itertuples(index=False, name=None)
    ]
    seeds = {key for key in keys if _is_seed(key, rows)}
    return [_without_inert_masks(row, seeds | set(HARDWARE_KEYS)) for row in rows]


def varying_keys(settings: Sequence[Settings]) -> list[str]:
    """Name the keys that differ between runs, in the order in which labels show them."""
    keys = {key for row in settings for key in row}
    differ = [key for key in keys if len({row.get(key, ABSENT) for row in settings}) > 1]
    return labels.in_order(differ)


def split_into_arms(
    runs: pd.DataFrame,
    treatments: Sequence[str] = ("masks",),
    name: Callable[[Settings], str] | None = None,
) -> list[Arm]:
    """Split runs into arms, ordered by context and then by treatment, untreated first.

    ``treatments`` are the groups or keys under test, those first that order the arms first; all
    other varying keys make the context.
    ``name`` names an arm; what it names alike is told apart by its settings.
    """
    settings = settings_of(runs)
    varying = varying_keys(settings)
    treated = [key for group in treatments for key in varying if _under(key, (group,))]
    context = [key for key in varying if key not in treated]
    members = defaultdict(list)
    for position, row in enumerate(settings):
        members[values_at(row, context), values_at(row, treated)].append(position)
    order = sorted(members, key=lambda pair: [sort_key(values) for values in pair])
    firsts = [settings[members[pair][0]] for pair in order]
    if name:
        texts = _told_apart([name(first) for first in firsts], order, firsts, treated)
    else:
        texts = labels.treatment_labels(firsts, treated)
    return [
        Arm(
            treatment=_selected(first, treated),
            context=_selected(first, context),
            settings=first,
            label=label,
            context_label=context_label,
            runs=runs.iloc[members[pair]],
        )
        for pair, first, label, context_label in zip(
            order,
            firsts,
            texts,
            labels.setting_labels(firsts, context),
            strict=True,
        )
    ]


def baseline_of(
    arm: Arm, arms: Iterable[Arm], required: Mapping[str, Any] | None = None
) -> Arm | None:
    """Find the untreated arm in the context of ``arm``.

    Untreated is the arm without active masks, unless these are not under test, in which every
    other group under test is absent (no crops) or, for keys that are never absent (batch size), as
    ``required`` says. None if no arm or more than one fits.
    """
    wanted = required or {}
    fits = [
        other
        for other in arms
        if other.context == arm.context
        and not masks_of(other.treatment)
        and all(other.settings.get(key, ABSENT) == value for key, value in wanted.items())
    ]
    if len(fits) > 1:
        fewest = min(len(_groups_on(other, wanted)) for other in fits)
        fits = [other for other in fits if len(_groups_on(other, wanted)) == fewest]
    return fits[0] if len(fits) == 1 else None


def sort_key(values: Iterable[Any]) -> list[tuple[int, float, str]]:
    """Give a key that sorts absent values first, then numbers, then all others as text."""
    return [
        (0, 0.0, "")
        if value is ABSENT
        else (1, float(value), "")
        if isinstance(value, int | float)
        else (2, 0.0, str(value))
        for value in values
    ]


def _told_apart(
    names: Sequence[str],
    pairs: Sequence[tuple[Any, Any]],
    arms: Sequence[Settings],
    treated: Sequence[str],
) -> list[str]:
    """Add, to names that several arms of a context share, the settings in which these differ."""
    alike = defaultdict(list)
    for place, (name, (context, _)) in enumerate(zip(names, pairs, strict=True)):
        alike[name, context].append(place)
    texts = list(names)
    for (name, _), places in alike.items():
        details = labels.setting_labels([arms[place] for place in places], treated)
        for place, detail in zip(places, details, strict=True):
            texts[place] = f"{name} ({detail})" if detail else name
    return texts


def _groups_on(arm: Arm, required: Mapping[str, Any]) -> set[str]:
    return {group for group in groups_of(arm.treatment) if not _under(group, tuple(required))}


def _under(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(prefix + ".") for prefix in prefixes)


def _empty(value: Any) -> bool:
    return value is ABSENT or value is None or value == ()


def _is_seed(key: str, rows: Sequence[Settings]) -> bool:
    if key == "seed" or key.endswith(".seed"):
        return True
    several = len({row.get("seed") for row in rows}) > 1
    return several and all(key in row and row[key] == row.get("seed") for row in rows)


def _without_inert_masks(row: Settings, drop: set[str]) -> Settings:
    inert = tuple(
        key.removesuffix("p") for key, value in row.items() if _is_mask_p(key) and value == 0
    )
    return {
        key: value
        for key, value in row.items()
        if key not in drop and not (inert and key.startswith(inert))
    }


def _is_mask_p(key: str) -> bool:
    return key.startswith("masks.") and key.endswith(".p")


def values_at(row: Settings, keys: Sequence[str]) -> tuple[Any, ...]:
    """Give the values of ``row`` at keys, ABSENT where it has none."""
    return tuple(row.get(key, ABSENT) for key in keys)


def _selected(row: Settings, keys: Sequence[str]) -> Settings:
    return {key: row[key] for key in keys if key in row}
