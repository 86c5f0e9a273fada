"""Parts of a forward pass whose gradients are not those of the operations in them."""

import inspect
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from backdrop.survivors.recorded import InGraph, Recorded
from backdrop.torch_private import FunctionContext, forward_mode_allowed, without_torch_function

# Module hooks on gradients ask for these as well.
_QUESTIONS = ("requires_grad", "grad_fn", "is_leaf", "grad", "data")
OF_GRAPH = {getattr(Tensor, name).__get__ for name in _QUESTIONS} | {
    Tensor.register_hook,
    Tensor.retain_grad,
    Tensor.backward,
    Tensor.requires_grad_,
    Tensor.detach,
    Tensor.detach_,
    torch.detach,
    torch.detach_,
    torch.autograd.grad,
    torch.autograd.backward,
}

_TRANSFORMS = {"torch._functorch.vmap", "torch._functorch.eager_transforms"}
_CHECKPOINT = inspect.unwrap(checkpoint).__code__


class Region(NamedTuple):
    """A part of a forward pass, and why a stage cannot hold it."""

    name: str
    why: str


def differentiated() -> bool:
    """Say whether autograd sees what is called now."""
    # Forward mode is off in inference mode and within autograd functions, also under enable_grad.
    return torch.is_grad_enabled() and forward_mode_allowed()


def in_function() -> bool:
    """Say whether the forward code of an autograd function is running."""
    return not (forward_mode_allowed() or torch.is_inference_mode_enabled())


def running_region() -> Region | None:
    """Give the part of the forward pass that is running, None if autograd sees what is called."""
    if differentiated():
        return None
    if in_function():
        return of_function(_running_function())
    mode = "inference_mode" if torch.is_inference_mode_enabled() else "no_grad"
    why = (
        "it has no gradient, and a stage is differentiated as a whole. Survivors on the module "
        "that follows, in place of the whole model, is exact"
    )
    return Region(f"a part of the forward pass under {mode}", why)


def of_function(name: str) -> Region:
    """Give what an autograd function of that name does; "" if it is not known."""
    why = "a stage knows the operations of its forward pass, and not its backward pass"
    return Region(f"the autograd function {name}" if name else "an autograd function", why)


def function_of(x: Recorded) -> Region | None:
    """Give the autograd function that a stand-in came out of, None if there was none."""
    with without_torch_function():
        node = x.grad_fn
    return of_function(_name(type(node))) if _is_own(node) else None


def _is_own(node: Any) -> bool:
    return isinstance(node, FunctionContext) and not isinstance(node, InGraph._backward_cls)


def function_behind(tensor: Tensor) -> Region | None:
    """Give the autograd function that made a real tensor out of stand-ins, None if there was none.

    This goes through all that the tensor was computed from.
    """
    left: list[Any] = [tensor.grad_fn]
    seen, own = set(left), None
    while left:
        node = left.pop(0)
        if isinstance(node, InGraph._backward_cls):
            return of_function(_name(type(own)) if own else "")
        own = own or (node if _is_own(node) else None)
        below = {after for after, _ in node.next_functions if after} if node else set()
        left += below - seen
        seen |= below
    return None


def transforming() -> bool:
    """Say whether what is called was called by a transform of ``torch.func``."""
    return any(frame.f_globals.get("__name__") in _TRANSFORMS for frame in _frames())


def checkpoints_running() -> int:
    """Count the calls of ``torch.utils.checkpoint.checkpoint`` that are running."""
    return sum(frame.f_code is _CHECKPOINT for frame in _frames())


def _running_function() -> str:
    named: dict[Any, str] = {_code(cls): cls.__name__ for cls in _below(torch.autograd.Function)}
    for frame in _frames():
        code = frame.f_code
        first = frame.f_locals.get(code.co_varnames[0]) if code.co_varnames else None
        context = first[0] if isinstance(first, tuple) and first else first  # of *args
        if isinstance(context, FunctionContext):
            return _name(type(context))
        if code in named:  # its forward pass takes no context
            return named[code]
    return ""  # torch itself takes a view of what a function returns as it was given


def _below(cls: Any) -> Iterator[Any]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _below(subclass)


def _code(cls: Any) -> Any:
    return getattr(inspect.unwrap(cls.forward), "__code__", None)


def _name(node: type) -> str:
    return node.__name__.removesuffix("Backward")


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
