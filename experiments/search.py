"""Configurations to try: as many for every arm, spread evenly over its space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

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
        """Read ``{uniform: [low, high]}``, ``{log: [low, high]}`` or ``{choice: [a, b, …]}``.

        A choice may be between mappings, each of which gives values to several keys at once.
        """
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
        _point(ranges, [each.at(share) for each, share in zip(ranges, point, strict=True)])
        for point in points
    ]


def combinations(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give all points of a space of choices, the first key varying slowest; none is one point.

    Raises:
        ValueError: a range that is not a choice.
    """
    ranges = [Range.of(key, node) for key, node in space.items()]
    for each in ranges:
        if each.kind != "choice":
            raise ValueError(f"search.space.{each.key} must be a choice in a grid; got {each.kind}")
    return [_point(ranges, values) for values in product(*(each.values for each in ranges))]


def _point(ranges: Sequence[Range], values: Sequence[Any]) -> dict[str, Any]:
    """Give one point: a value for each key, or several keys' where the value holds these."""
    point: dict[str, Any] = {}
    for each, value in zip(ranges, values, strict=True):
        point |= value if isinstance(value, Mapping) else {each.key: value}
    return point
