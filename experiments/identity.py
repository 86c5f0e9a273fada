"""A run is its configuration: resolve what is left open in it, and hash the whole."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from experiments.precision import has_fast_bfloat16
from experiments.refusals import check_keys
from experiments.schema import Config

SCHEMA = 1  # raise when the same configuration comes to mean other numbers
NEUTRAL: dict[str, Any] = {
    "backward": "auto",
    "batching": "shuffled",
    "budget": {},
    "compile": False,
    "measures": {},
    "metric": "error",
    "regulariser": {},
    "schedule": {},
}
"""What settings that came later are where nothing is said; a run's identity leaves these out.

What ``backward: auto`` chooses changes a run's numbers by rounding only, and its result says it.
"""

OF_EXPERIMENTS = ("places", "arm", "arms", "search", "chosen_by", "report")
"""What says which runs an experiment has: in a run it is in the values made from it."""

Settings = dict[str, Any]


def resolve(config: DictConfig) -> Settings:
    """Give the configuration as plain values, device and precision decided for this machine.

    Raises:
        ValueError: an unknown key, or a count or probability out of its range, named by its key.
    """
    settings: Settings = OmegaConf.to_container(config, resolve=True, enum_to_str=True)  # type: ignore[assignment]
    check_keys(settings, Config)
    for key in OF_EXPERIMENTS:
        del settings[key]
    _check(settings)
    if settings["device"] == "auto":
        settings["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    if settings["precision"] == "auto":
        settings["precision"] = "bfloat16" if has_fast_bfloat16(settings["device"]) else "float32"
    return settings


def _check(settings: Settings) -> None:
    for key, least in {"epochs": 1, "batch_size": 1, "evaluations": 1, "seed": 0}.items():
        if settings[key] is not None and settings[key] < least:
            raise ValueError(f"{key} must be at least {least}; got {settings[key]}")
    _check_budget(settings["budget"])
    if not 0 <= settings["warmup"] < 1:
        raise ValueError(f"warmup must be in [0, 1); got {settings['warmup']}")
    for key, value in _numbers(settings, ""):
        if not math.isfinite(value):
            raise ValueError(f"{key} must be a finite number; got {value}")
    threads = settings["system"]["threads"]
    if threads is not None and threads < 1:
        raise ValueError(f"system.threads must be at least 1 or null; got {threads}")


def _numbers(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Give all numbers that are not whole, with their keys."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, key)
    elif isinstance(value, float):
        yield key, value


def _check_budget(budget: Settings) -> None:
    for kind, amount in budget.items():
        if kind not in ("updates", "passes") or len(budget) > 1:
            raise ValueError(f"budget must hold updates or passes; got {budget}")
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not number or not 0 < amount < math.inf:
            raise ValueError(f"budget.{kind} must be a positive number; got {amount!r}")
        if kind == "updates" and amount != int(amount):
            raise ValueError(f"budget.updates must be a whole number; got {amount}")


def identity(settings: Mapping[str, Any]) -> Settings:
    """Give the settings that can change a run's numbers, without neutral ones."""
    return {
        key: value
        for key, value in settings.items()
        if key != "system" and not (key in NEUTRAL and value == NEUTRAL[key])
    }


def run_id(settings: Mapping[str, Any]) -> str:
    """Hash the identity of a run to 12 hexadecimal digits."""
    text = json.dumps({"schema": SCHEMA, **_canonical(identity(settings))}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def question_id(settings: Mapping[str, Any]) -> str:
    """Hash what a run asks, whatever device and precision the machine decides for it."""
    decided = ("device", "precision")
    return run_id({key: value for key, value in settings.items() if key not in decided})


def _canonical(value: Any) -> Any:
    """Write equal numbers alike (0 and 0.0), so that they hash alike."""
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
