"""What may stand where in a configuration: each slot its kind, nothing that loads or runs.

Configurations and tables are received from others, so a name in them is not imported, let alone
called, unless it is of this project, of torch or torchvision, or one that the user allows by name.
"""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_object
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from experiments.refusals import ConfigurationError

IMPORTED = ("backdrop", "experiments", "torch", "torchvision")


@dataclass(frozen=True)
class Slot:
    """What one part of a run may be made by.

    Attributes:
        kind: a class of which any subclass may stand there, if any.
        homes: modules whose own public classes may stand there, and functions.
        methods: what a class of these modules must have.
    """

    kind: type | None = None
    homes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def takes(self, target: Any) -> bool:
        """Tell whether a class or function may stand here."""
        if inspect.isclass(target) and self.kind and issubclass(target, self.kind):
            return True
        made = inspect.isclass(target) or inspect.isfunction(target)
        if not made or target.__name__.startswith("_"):
            return False
        at_home = any(f"{target.__module__}.".startswith(f"{home}.") for home in self.homes)
        return at_home and all(hasattr(target, name) for name in self.methods)

    def __str__(self) -> str:
        kind = f"a {self.kind.__name__} of torch or torchvision" if self.kind else ""
        home = f"one of {', '.join(self.homes)}" if self.homes else ""
        return " or ".join(filter(None, (kind, home)))


SLOTS = {
    "dataset": Slot(None, ("backdrop.datasets",), ("load", "input_shape")),
    "model": Slot(nn.Module, ("backdrop.models", "torchvision.models")),
    "masks": Slot(nn.Module),
    "regulariser": Slot(None, ("backdrop.neighbours",)),
    "augmentation": Slot(None, ("backdrop.datasets.augmentation",)),
    "loss": Slot(nn.Module, ("backdrop.losses",)),
    "optimizer": Slot(Optimizer),
    "schedule": Slot(LRScheduler, ("experiments.schedule",)),
    "measures": Slot(None, ("experiments.measures",)),
}
ARGUMENT = Slot(nn.Module, ("backdrop.neighbours",))
"""What an argument of these may be made by."""

BY_NAME = ("masks", "measures")  # whose parts have names of their own


def target_of(key: str, name: Any, allow: Collection[str] = ()) -> Callable[..., Any]:
    """Give the class or function of a name for the part of a run that has this key.

    Raises:
        ConfigurationError: none of its kind, nor one that is allowed.
    """
    slot = _slot(key)
    if not isinstance(name, str):
        raise ConfigurationError(f"{key}._target_ must be a name; got {name!r}")
    if name not in allow and name.partition(".")[0] not in IMPORTED:
        raise _refused(key, name, slot)
    try:
        target: Callable[..., Any] = get_object(name)
    except Exception as error:  # importing may raise anything
        raise ConfigurationError(f"{key}._target_: {' '.join(str(error).split())}") from error
    if name not in allow and not slot.takes(target):
        raise _refused(key, name, slot)
    return target


def _slot(key: str) -> Slot:
    first, *inner = key.split(".")
    return ARGUMENT if len(inner) > (first in BY_NAME) else SLOTS[first]


def _refused(key: str, name: str, slot: Slot) -> ConfigurationError:
    return ConfigurationError(
        f"{key}._target_ must be {slot}; got {name} "
        f"(code of your own is allowed on the command line: system.allow=[{name}])"
    )
