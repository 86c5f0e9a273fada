"""Configurations to try: as many for every arm, spread evenly over its space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig
from scipy.stats import qmc

from backdrop.streams import stream_seed

KINDS = ("uniform", "log", "choice")


@dataclass(frozen=True)
class Range:
    """What one setting may be: between two numbers, evenly or in their logarithm, or one of some.

    Raises:
        ValueError: an unknown kind, or values that it cannot have; the message begins with the key.
    """

    key: str
    kind: str
    values: tuple[Any, ...]

    @classmethod
    def of(cls, key: str, node: Any) -> "Range":
        """Read ``{uniform: [low, high]}``, ``{log: [low, high]}`` or ``{choice: [a, b, …]}``."""
        if not isinstance(node, Mapping) or len(node) != 1:
            raise ValueError(f"search.space.{key} must be one of {', '.join(KINDS)}; got {node}")
        ((kind, values),) = node.items()
        return cls(key, kind, tuple(values) if isinstance(values, Sequence) else (values,))

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"search.space.{self.key} must be one of {', '.join(KINDS)}; got {self.kind!r}"
            )
        where = f"search.space.{self.key}.{self.kind}"
        if self.kind == "choice":
            if not self.values:
                raise ValueError(f"{where} must hold at least one value")
            return
        numbers = [v for v in self.values if isinstance(v, int | float) and math.isfinite(v)]
        least = -math.inf if self.kind == "uniform" else 0
        if len(numbers) != 2 or len(self.values) != 2 or not least < numbers[0] < numbers[1]:
            above = " above 0" if self.kind == "log" else ""
            raise ValueError(f"{where} must be [low, high]{above}; got {list(self.values)}")

    def at(self, share: float) -> Any:
        """Give the value at a share in [0, 1) of the range; numbers to three significant digits.

        >>> Range("optimizer.lr", "log", (0.001, 0.1)).at(0.5)
        0.01
        """
        if self.kind == "choice":
            return self.values[int(share * len(self.values))]
        low, high = self.values
        if self.kind == "uniform":
            return float(f"{low + share * (high - low):.3g}")
        return float(f"{math.exp(math.log(low) + share * math.log(high / low)):.3g}")


def configurations(space: Mapping[str, Any], count: int, seed: int) -> list[dict[str, Any]]:
    """Give ``count`` points of a space by a scrambled Halton sequence from a stream of its own.

    Further configurations do not change the first, and further keys not the values of those
    before them: arms that share the first keys of their spaces try the same values of these.

    Args:
        space: what each key may be, as :meth:`Range.of` reads it.
        count: of the configurations.
        seed: of the stream.

    Raises:
        ValueError: an empty space, or a range that cannot be read.
    """
    ranges = [Range.of(key, node) for key, node in space.items()]
    if not ranges:
        raise ValueError("there is nothing to search: search.space is empty")
    sequence = qmc.Halton(len(ranges), scramble=True, rng=stream_seed(seed, "search"))
    points = sequence.random(count).tolist()
    return [
        {each.key: each.at(share) for each, share in zip(ranges, point, strict=True)}
        for point in points
    ]


@dataclass(frozen=True)
class ArmRun:
    """One run of an arm: what it sets, and which configuration of a search it tries."""

    arm: str
    overrides: tuple[str, ...]
    tried: dict[str, Any]


def arm_runs(config: DictConfig, chosen: Mapping[str, Mapping[str, Any]]) -> list[ArmRun]:
    """Give the arms of an experiment, each with the overrides of one run.

    Where it is a search, there are as many of an arm as it tries configurations on seeds: seeds
    vary slowest and arms fastest, so that an unfinished search has treated them alike. An
    experiment that names no arms has one without a name and overrides.

    Args:
        config: of the experiment.
        chosen: what a search chose for the arms, by their names; empty without one.

    Raises:
        ValueError: a search without seeds or arms, a space that cannot be read, or an arm for which
            nothing was chosen.
    """
    search, arms = config.search, config.arms
    if not search.configurations:
        if lacking := chosen and sorted(set(arms) - set(chosen)):
            raise ValueError(f"chosen: {config.chosen} has nothing for the arm {lacking[0]!r}")
        return [
            ArmRun(name, _overrides({**node.set, **chosen.get(name, {})}), {})
            for name, node in arms.items()
        ] or [ArmRun("", (), {})]
    if not arms or not search.seeds:
        raise ValueError("search needs arms, and search.seeds")
    tried = {
        name: configurations({**search.space, **node.space}, search.configurations, search.stream)
        for name, node in arms.items()
    }
    return [
        ArmRun(
            name, _overrides({**node.set, **tried[name][place], "seed": seed}), tried[name][place]
        )
        for seed in search.seeds
        for place in range(search.configurations)
        for name, node in arms.items()
    ]


def _overrides(values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in values.items())


def read_chosen(conf: Path, experiment: str) -> dict[str, dict[str, Any]]:
    """Give what the search of an experiment chose for each arm.

    Raises:
        ValueError: nothing has been chosen yet.
    """
    path = conf / "chosen" / f"{experiment}.yaml"
    if not path.exists():
        raise ValueError(
            f"chosen: {experiment} has chosen nothing yet: run its preset, then "
            "python -m experiments.choose"
        )
    return dict(yaml.safe_load(path.read_text()))
