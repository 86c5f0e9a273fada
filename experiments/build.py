"""Turn a configuration into objects: the only place that does."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, make_dataclass
from functools import cached_property, partial
from typing import Any, get_type_hints

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

import backdrop
from backdrop.placement import placed_on
from backdrop.streams import stream_seed
from experiments.identity import Settings
from experiments.refusals import ConfigurationError
from experiments.schedule import LearningRate
from experiments.slots import target_of

OF_PLACES = ("after", "scale", "schedule")
"""Entries of a mask that say where and when, and are not for its layer."""


@dataclass
class Parts:
    """What one run is made of."""

    dataset: Any
    model: nn.Module
    augmentation: Callable[..., Any] | None
    loss: Callable[..., torch.Tensor]
    optimizer: torch.optim.Optimizer
    learning_rate: LearningRate
    regulariser: Any
    masks: dict[str, nn.Module]
    schedules: list[backdrop.PSchedule]

    @cached_property
    def stratified_masks(self) -> list[backdrop.StratifiedBackdrop]:
        """Give the masks that want to know the classes of every batch."""
        return [
            layer
            for module in self.model.modules()
            for layer in (module, *placed_on(module))
            if isinstance(layer, backdrop.StratifiedBackdrop)
        ]


def build(settings: Settings) -> Parts:
    """Build all parts of a run; weights come from the run's initialisation stream.

    Raises:
        ConfigurationError: a key or value that cannot be used.
    """
    torch.manual_seed(stream_seed(settings["seed"], "initialisation"))
    make = partial(construct, allow=settings.get("system", {}).get("allow", ()))
    dataset = make("dataset", settings["dataset"])
    model = make("model", settings["model"])
    if not isinstance(model, nn.Module):
        raise ConfigurationError(f"model._target_ must make a Module; it makes {type(model)}")
    masks = {
        name: place_mask(f"masks.{name}", entry, model, dataset.input_shape, make)
        for name, entry in settings["masks"].items()
    }
    schedules = [
        _scheduled(f"masks.{name}.schedule", entry, masks[name])
        for name, entry in settings["masks"].items()
        if "schedule" in entry
    ]
    if "lr" not in settings["optimizer"]:
        raise ConfigurationError("optimizer.lr must be given: the learning rate")
    optimizer = make("optimizer", settings["optimizer"], model.parameters())
    acted_on = {"model": model, "optimizer": optimizer}

    def optional(key: str, **offered: Any) -> Any:
        return make(key, settings[key], **offered) if settings.get(key) else None

    rate, schedule = optimizer.defaults["lr"], optional("schedule", optimizer=optimizer)
    return Parts(
        dataset=dataset,
        model=model,
        augmentation=optional("augmentation"),
        loss=make("loss", settings["loss"]),
        optimizer=optimizer,
        learning_rate=LearningRate(optimizer, rate, settings["warmup"], schedule),
        regulariser=optional("regulariser", **acted_on),
        masks=masks,
        schedules=schedules,
    )


def place_mask(
    key: str,
    entry: Mapping[str, Any],
    model: nn.Module,
    shape: tuple[int, ...],
    make: Callable[..., Any],
) -> nn.Module:
    """Put the layer of one entry after the module it names, or at its scale in pixels."""
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"{key} must be a layer: a _target_ and arguments; got {entry!r}")
    layer = {name: value for name, value in entry.items() if name not in OF_PLACES}
    if ("after" in entry) == ("scale" in entry):
        raise ConfigurationError(f"{key} needs either after (a module's name) or scale (pixels)")
    try:
        after = (
            entry.get("after") or backdrop.module_at_scale(model, (1, *shape), entry["scale"]).name
        )
        made: nn.Module = make(key, layer)
        backdrop.place(model, {after: made})
    except Exception as error:  # whatever a layer of anybody's raises
        raise _named(key, error) from error
    return made


def _scheduled(key: str, entry: Mapping[str, Any], layer: Any) -> backdrop.PSchedule:
    """Give the schedule of a layer's p, which by default ends at the p of its entry."""
    given = entry["schedule"]
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{key} must hold start, end, begin or finish; got {given!r}")
    arguments = {"end": entry.get("p"), **given}
    try:
        return backdrop.PSchedule([layer], **_checked(key, backdrop.PSchedule, arguments, ()))
    except (ValueError, TypeError) as error:
        raise _named(key, error) from error


def construct(
    key: str,
    node: Mapping[str, Any],
    *given: Any,
    allow: Collection[str] = (),
    **offered: Any,
) -> Any:
    """Call the ``_target_`` of a node with its other entries, checked against its signature.

    The first arguments are those ``given``; those ``offered`` are passed where the signature names
    them. Entries that have a ``_target_`` themselves are constructed first. What the target may be
    is said in :mod:`experiments.slots`; names in ``allow`` are allowed beyond.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigurationError(f"{key} needs a _target_: the class or function that makes it")
    target = target_of(key, node["_target_"], allow)
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    try:
        named = inspect.signature(target).parameters
        passed = {name: value for name, value in offered.items() if name in named}
        return target(*given, **passed, **_checked(key, target, arguments, allow))
    except OSError:  # of files: no fault of a value
        raise
    except Exception as error:  # whatever a class of anybody's raises
        raise _named(key, error) from error


def _named(key: str, error: Exception) -> ConfigurationError:
    if isinstance(error, ConfigurationError):
        return error
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = " ".join(str(message).split()) or type(error).__name__
    return ConfigurationError(f"{key}: {text}")


def _checked(
    key: str, target: Any, arguments: dict[str, Any], allow: Collection[str]
) -> dict[str, Any]:
    """Check names and types of arguments against a signature; convert, say, 1 to 1.0."""
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = set(arguments) - set(parameters)
    if unknown and not open_ended:
        allowed = ", ".join(name for name in parameters if name != "self")
        raise ConfigurationError(f"{key}.{min(unknown)} is unknown; allowed are {allowed}")
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    return {
        name: _typed(f"{key}.{name}", hints.get(name), parameters.get(name), value, allow)
        for name, value in arguments.items()
    }


def _typed(
    key: str,
    hint: Any,
    parameter: inspect.Parameter | None,
    value: Any,
    allow: Collection[str],
) -> Any:
    """Convert a value to its annotated type, or to that of a numeric default; construct nodes."""
    if isinstance(value, Mapping) and "_target_" in value:
        return construct(key, value, allow=allow)
    default = parameter.default if parameter else None
    if isinstance(default, float) and isinstance(value, bool):
        raise ConfigurationError(f"{key} must be a number; got {value}")
    if isinstance(default, float) and not isinstance(value, bool | str):
        hint = float if value is not None and not isinstance(value, list) else hint
    elif isinstance(default, int | float) and isinstance(value, str):
        hint = type(default)
    try:
        schema = OmegaConf.structured(make_dataclass("Argument", [("value", hint or Any)]))
    except OmegaConfBaseException:  # a type that configurations do not know
        return value
    try:
        return OmegaConf.to_container(OmegaConf.merge(schema, {"value": value}))["value"]  # type: ignore[index,call-overload]
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{key}: {str(error).splitlines()[0]}") from error
