"""Choose what suits each arm by a finished search, for conf/chosen/<experiment>.yaml.

Of an arm's configurations the one whose final validation metric has the best median over the
search's seeds is chosen, and of equals the first that was tried.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from experiments.identity import Settings, question_id
from experiments.loop import HIGHER_IS_BETTER
from experiments.run_store import Row
from experiments.sweep import Job


class Unfinished(Exception):
    """Says how many runs of a search a table lacks."""


@dataclass(frozen=True)
class Chosen:
    """An arm's best configuration, its median, and the keys whose value lies at an edge."""

    configuration: Settings
    median: float
    edges: tuple[str, ...]


def choose(jobs: Sequence[Job], finished: Mapping[str, Row]) -> dict[str, Chosen]:
    """Choose a configuration for each arm of a search.

    Args:
        jobs: all runs of the search.
        finished: rows of finished runs, by what they ask.

    Raises:
        Unfinished: a run that is not finished.
    """
    lacking = sum(question_id(job.settings) not in finished for job in jobs)
    if lacking:
        name = jobs[0].experiments[0]
        raise Unfinished(f"{lacking} of {len(jobs)} runs of {name} are not finished")
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    tried: dict[str, dict[str, Settings]] = defaultdict(dict)
    for job in jobs:
        metric = job.settings["metric"]
        name = repr(job.tried)
        value = finished[question_id(job.settings)][f"final.validation.{metric}"]
        values[job.arm][name].append(value if metric in HIGHER_IS_BETTER else -value)
        tried[job.arm][name] = job.tried
    return {arm: _best(values[arm], tried[arm]) for arm in values}


def _best(values: Mapping[str, list[float]], tried: Mapping[str, Settings]) -> Chosen:
    medians = {name: median(of_seeds) for name, of_seeds in values.items()}
    best = max(medians, key=medians.__getitem__)
    return Chosen(tried[best], abs(medians[best]), _edges(tried[best], list(tried.values())))


def _edges(chosen: Settings, tried: Sequence[Settings]) -> tuple[str, ...]:
    """Name the numeric keys at whose lowest or highest tried value the chosen one lies."""
    return tuple(
        key
        for key, value in chosen.items()
        if isinstance(value, int | float)
        and value in (min(each[key] for each in tried), max(each[key] for each in tried))
    )


def chosen_text(experiment: str, found: Mapping[str, Chosen], metric: str, seeds: int) -> str:
    """Write the file of what a search chose, with each median and what lies at an edge."""
    lines = [f"# Chosen by the median of validation {metric} over {seeds} seeds ({experiment})."]
    for arm, each in found.items():
        pairs = ", ".join(f"{key}: {value}" for key, value in each.configuration.items())
        edge = f"; at an edge: {', '.join(each.edges)}" if each.edges else ""
        lines.append(f"# {each.median:.3f}{edge}\n{arm}: {{{pairs}}}")
    return "\n".join(lines) + "\n"
