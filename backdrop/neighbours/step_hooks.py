"""What acts around an optimizer's step, on weights that are chosen by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from backdrop.arguments import checked_integer, checked_names
from backdrop.generators import checked_generator, generator_state, set_generator_state
from backdrop.module_names import find_module
from backdrop.placement import uncompiled


class StepHooks:
    """Hooks around the step of an optimizer, until removed.

    A copy or pickle of (model, optimizer, hooks) together has hooks that act on the copied pair;
    an optimizer that is copied alone has none.

    Raises:
        TypeError: if the generator is none.
        ValueError: if several ranks would draw from global streams of their own.
    """

    def __init__(self, optimizer: Optimizer, generator: torch.Generator | None) -> None:
        self.generator = checked_generator(generator)
        _check_replicas_draw_alike(generator)
        self._optimizer = optimizer
        self._handles: list[RemovableHandle] = []

    def _register(self, optimizer: Optimizer) -> list[RemovableHandle]:
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins, counted from 0.

        Raises:
            TypeError: if ``epoch`` is not an int.
            ValueError: if it is negative.
        """
        self.epoch = checked_integer("epoch", epoch, 0)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint needs: the epoch, and the state of an own generator."""
        return {"epoch": self.epoch, "generator": generator_state(self.generator)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, with the same draws where the generator is an own one.

        Raises:
            ValueError: if only one of the state and this object has a generator of its own.
        """
        set_generator_state(self.generator, state["generator"])
        self.set_epoch(state["epoch"])

    def remove(self) -> None:
        """Take the hooks off the optimizer; doing so twice is harmless."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __getstate__(self) -> dict[str, Any]:
        # Optimizers do not copy their hooks: the copy puts its own on the copied optimizer.
        return {**self.__dict__, "_handles": bool(self._handles)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._handles = self._register(self._optimizer) if state["_handles"] else []


def eligible_parameters(
    model: nn.Module, optimizer: Optimizer, layers: Sequence[str] | None, skip: int
) -> dict[str, nn.Parameter]:
    """Give the parameters within ``layers`` that may be treated, whatever their shape, by name.

    They are those that the optimizer updates and whose index in ``model.parameters()`` is above
    ``skip``, without biases and batch normalisation.
    """
    model = uncompiled(model)
    updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
    within = None
    if layers is not None:
        within = {
            id(p)
            for name in checked_names("layers", layers)
            for p in find_module(model, name).parameters()
        }
    owners = dict(model.named_modules())
    eligible = {}
    for index, (name, parameter) in enumerate(model.named_parameters()):
        owner, _, own_name = name.rpartition(".")
        excluded = "bias" in own_name or isinstance(owners[owner], nn.modules.batchnorm._BatchNorm)
        chosen = within is None or id(parameter) in within
        if index > skip and chosen and not excluded and id(parameter) in updated:
            eligible[name] = parameter
    return eligible


def nothing_left(form: str, layers: Sequence[str] | None, skip: int) -> ValueError:
    """Give the error where no weight is left to treat."""
    where = "the model" if layers is None else ", ".join(layers)
    return ValueError(
        f"no weight is left to treat in form {form!r}: none in {where} has an index above "
        f"{skip}, is updated by the optimizer, and is of a kind that the form treats"
    )


def _check_replicas_draw_alike(generator: torch.Generator | None) -> None:
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if several and generator is None:
        raise ValueError(
            f"{dist.get_world_size()} ranks would update different channels, and their replicas "
            "come apart: give every rank a generator of the same seed"
        )
