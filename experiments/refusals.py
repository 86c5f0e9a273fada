"""Refusals: one line that begins with the key of what cannot be used."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

LONGEST = 600


class ConfigurationError(ValueError):
    """A value in the configuration that cannot be used; the message begins with its key."""


def check_keys(node: Mapping[str, Any], schema: Any) -> None:
    """Check that a configuration holds no key that a dataclass does not declare.

    Raises:
        ConfigurationError: a key that would have no effect, with the nearest that has.
    """
    unknown = next(_undeclared(node, schema, ""), None)
    if unknown:
        known = [key for key in _dotted(node, "") if not f"{key}.".startswith(f"{unknown}.")]
        raise ConfigurationError(f"{unknown} is no setting{nearest(unknown, known)}")


def _undeclared(node: Mapping[str, Any], schema: Any, prefix: str) -> Iterator[str]:
    """Name the keys that a dataclass, and those of its fields that are dataclasses, lack."""
    declared = {field.name: field.type for field in fields(schema)}
    for key, value in node.items():
        if key not in declared:
            yield f"{prefix}{key}"
        elif is_dataclass(declared[key]) and isinstance(value, Mapping):
            yield from _undeclared(value, declared[key], f"{prefix}{key}.")


def _dotted(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")


def nearest(key: str, known: Sequence[str]) -> str:
    """Say which of the known keys is nearest to another, or which there are.

    >>> nearest("lr", ["seed", "optimizer.lr"])
    '; did you mean optimizer.lr?'
    """
    last = key.rpartition(".")[2]
    same = [each for each in known if each.rpartition(".")[2] == last]
    found = [*same, *get_close_matches(key, known, 1), *get_close_matches(last, known, 1)]
    if found:
        return f"; did you mean {found[0]}?"
    beside = key.rpartition(".")[0]
    there = [each for each in known if each.rpartition(".")[0] == beside]
    return f"; there are {', '.join(there)}"


def one_line(error: BaseException, overrides: Iterable[str] = ()) -> str:
    """Say an error in one line that begins with the key, where one can be told.

    Args:
        error: what was raised.
        overrides: those of the command line, whose keys are looked for.
    """
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    full_key = getattr(cause, "full_key", None)
    text = str(error)
    if isinstance(cause, OmegaConfBaseException) and text.startswith("Error merging"):
        text = str(cause).partition("\n    full_key")[0]
    text = text.partition("\n    full_key")[0].partition("Config search path")[0]
    text = " ".join(text.split())[:LONGEST] or type(error).__name__
    if not isinstance(error, HydraException | OmegaConfBaseException | ValueError | OSError):
        text = f"{type(error).__name__}: {text}"
    composing = isinstance(error, HydraException | OmegaConfBaseException)
    key = full_key or (_key_in(text, overrides) if composing else "")
    return text if not key or text.startswith(key) else f"{key}: {text}"


def _key_in(text: str, overrides: Iterable[str]) -> str:
    """Give the longest key of an override that a message speaks of."""
    keys = {each.partition("=")[0].lstrip("+~") for each in overrides} - {""}
    found = [key for key in keys if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.]\w)", text)]
    return max(found, key=len, default="")
