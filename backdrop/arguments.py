"""Checks of numbers and names that are given as arguments."""

from collections.abc import Sequence
from numbers import Integral, Real


def checked_number(name: str, value: float, interval: str) -> float:
    """Return ``value`` as a float if it lies in ``interval``: an interval within [0, 1].

    Raises:
        TypeError: if it is not a number.
        ValueError: if it lies outside.

    Example:
        >>> checked_number("p", 1, "(0, 1]")
        1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in {interval}, got {value!r}")
    above = value >= 0 if interval.startswith("[0,") else value > 0
    below = value <= 1 if interval.endswith(" 1]") else value < 1
    if not (above and below):
        raise ValueError(f"{name} must lie in {interval}, got {value!r}")
    return float(value)


def checked_integer(name: str, value: int, minimum: int) -> int:
    """Return ``value`` as an int if it is at least ``minimum``.

    Raises:
        TypeError: if it is not an int.
        ValueError: if it is less.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int of at least {minimum}, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    return int(value)


def checked_names(name: str, value: Sequence[str]) -> list[str]:
    """Return ``value`` as a list if it is a sequence of at least one string.

    Raises:
        TypeError: if it is a single string, or no sequence of strings.
        ValueError: if it is empty.
    """
    if isinstance(value, str) or not (
        isinstance(value, Sequence) and all(isinstance(each, str) for each in value)
    ):
        raise TypeError(f"{name} must be a sequence of module names, got {value!r}")
    if not value:
        raise ValueError(f"{name} must hold at least one module name, got {value!r}")
    return list(value)
