"""Choose what suits each arm by a finished search, for conf/chosen/<experiment>.yaml.

Of an arm's configurations the one whose final validation metric has the best median over the
search's seeds is chosen, or the best mean where the search says so, and of equals the first tried.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from experiments.identity import Settings, question_id
from experiments.loop import HIGHER_IS_BETTER
from experiments.naming import in_words
from experiments.plan import Job, Place
from experiments.run_store import Row

STATISTICS = {"median": median, "mean": mean}


class Unfinished(Exception):
    """Says how many runs of a search a table lacks."""


@dataclass(frozen=True)
class Chosen:
    """An arm's best configuration, its validation metric, and the keys whose value is an edge."""

    configuration: Settings
    value: float
    edges: tuple[str, ...]


def choose(
    experiment: str, jobs: Sequence[Job], finished: Mapping[str, Row], statistic: str = "median"
) -> dict[str, Chosen]:
    """Choose a configuration for each arm of a search, in each of its settings.

    Args:
        experiment: the search.
        jobs: all its runs.
        finished: rows of finished runs, by what they ask.
        statistic: over the seeds, ``median`` or ``mean``.

    Raises:
        Unfinished: a run that is not finished.
    """
    lacking = sum(question_id(job.settings) not in finished for job in jobs)
    if lacking:
        raise Unfinished(f"{lacking} of {len(jobs)} runs of {experiment} are not finished")
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    tried: dict[str, dict[str, Settings]] = defaultdict(dict)
    for job, place in _places(experiment, jobs):
        metric = job.settings["metric"]
        value = finished[question_id(job.settings)][f"final.validation.{metric}"]
        arm = f"{place.arm} ({place.setting})" if place.setting else place.arm
        name = in_words(place.tried)
        values[arm][name].append(value if metric in HIGHER_IS_BETTER else -value)
        tried[arm][name] = dict(place.tried)
    return {arm: _best(values[arm], tried[arm], statistic) for arm in values}


def _places(experiment: str, jobs: Sequence[Job]) -> Iterator[tuple[Job, Place]]:
    for job in jobs:
        yield from ((job, place) for place in job.places if place.experiment == experiment)


def _best(
    values: Mapping[str, list[float]], tried: Mapping[str, Settings], statistic: str
) -> Chosen:
    scores = {name: STATISTICS[statistic](of_seeds) for name, of_seeds in values.items()}
    best = max(scores, key=scores.__getitem__)
    return Chosen(tried[best], abs(scores[best]), _edges(tried[best], list(tried.values())))


def _edges(chosen: Settings, tried: Sequence[Settings]) -> tuple[str, ...]:
    """Name the numeric keys at whose lowest or highest tried value the chosen one lies."""
    return tuple(
        key
        for key, value in chosen.items()
        if isinstance(value, int | float)
        and value in (min(each[key] for each in tried), max(each[key] for each in tried))
    )


def chosen_text(
    experiment: str, found: Mapping[str, Chosen], metric: str, seeds: int, statistic: str = "median"
) -> str:
    """Write the file of what a search chose, with each value and what lies at an edge."""
    lines = [
        f"# Chosen by the {statistic} of validation {metric} over {seeds} seeds ({experiment})."
    ]
    for arm, each in found.items():
        pairs = ", ".join(f"{key}: {_plain(value)}" for key, value in each.configuration.items())
        edge = f"; at an edge: {', '.join(each.edges)}" if each.edges else ""
        lines.append(f"# {each.value:.3f}{edge}\n{arm}: {{{pairs}}}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
