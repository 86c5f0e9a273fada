"""Write what a step of an arm costs beside plain training, as benchmarks found."""

import math
from collections.abc import Iterable, Sequence

from scripts.compare.arms import Arm
from scripts.read.costs import Cost
from scripts.read.declared import Experiment
from scripts.write.markdown import signed

UNKNOWN = "not measured"
MIB = 2**20


def costs_of(experiment: Experiment, arm: Arm, costs: Iterable[Cost]) -> list[Cost]:
    """Give the costs of an arm: benchmarks name it by its kind, and where widths vary, by width."""
    widths = arm.config("model.widths")
    name = f"{experiment.name}/{widths[0]}" if widths else experiment.name
    return [cost for cost in costs if (cost.comparison, cost.variant) == (name, arm.kind)]


def step_time(costs: Sequence[Cost]) -> str:
    """Write the times of a step relative to plain training."""
    return _written(
        (cost.where, f"{cost.relative:.2f} [{cost.low:.2f}, {cost.high:.2f}]")
        for cost in costs
        if not math.isnan(cost.relative)
    )


def extra_memory(costs: Sequence[Cost]) -> str:
    """Write the memory needed beside that of plain training."""
    return _written(
        (cost.where, f"{signed(cost.extra_bytes / MIB, 0)} MiB")
        for cost in costs
        if not math.isnan(cost.extra_bytes)
    )


def _written(found: Iterable[tuple[str, str]]) -> str:
    """Join what was found; say where, if there is more than one."""
    texts = dict(found)
    if len(texts) < 2:
        return "".join(texts.values()) or UNKNOWN
    return "; ".join(f"{text} ({where})" for where, text in texts.items())
