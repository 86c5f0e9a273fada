"""A stand-in for a tensor that is not computed yet, and the module in whose code it is met."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from backdrop.mask import mask_gradient
from backdrop.operations.layout import Layout, shape_of
from backdrop.torch_private import (
    function_transforms_active,
    never_compile,
    without_torch_function,
)

# What is answered without a look at the values, and never recorded.
_PROPERTIES = ("shape", "ndim", "dtype", "device", "layout", "is_cuda", "is_sparse", "is_nested")
_METHODS = ("size", "dim", "numel", "nelement", "is_floating_point", "is_complex", "__len__")
QUERIES = {getattr(Tensor, name).__get__ for name in _PROPERTIES} | {
    getattr(Tensor, name) for name in _METHODS
}


class InexactError(NotImplementedError):
    """The backward pass through survivors alone is not exact for a model; the message says why."""

    def __init__(self, what: str, where: str, why: str) -> None:
        super().__init__(
            f"survivors is not exact for {what} in module {where!r}: {why}. Place the masks so "
            "that it lies above the last one, replace it (batch normalisation by a per-position "
            "or frozen one, say), or leave survivors off: the dense backward pass knows no such "
            "limits"
        )

    def __reduce__(self) -> Any:
        return _unpickled, self.args


def _unpickled(message: str) -> InexactError:
    error = InexactError.__new__(InexactError)
    error.args = (message,)
    return error


class Recorder(Protocol):
    """What the operations on stand-ins are handed to."""

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record an operation of ATen and give a stand-in for its result."""

    def check(self, func: Any, kwargs: Mapping[str, Any]) -> None:
        """Refuse a function that asks for autograd's graph, or writes its result elsewhere."""

    def mask(self, x: "Recorded", mask: Tensor) -> Any:
        """End a stage at a mask."""

    def computed(self, value: Any) -> Any:
        """Give real tensors for stand-ins once there are no stages any more; else the same.

        What stands for results of earlier stages is computed in any case, with its graph: later,
        below autograd, it would have none.
        """


class InGraph(torch.autograd.Function):
    """Gives a stand-in a place in autograd's graph, in which it needs a gradient."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor, x: Tensor) -> Tensor:
        """Give the stand-in itself."""
        ctx.mark_dirty(x)
        return x


_LEAF = torch.zeros((), requires_grad=True)


class Recorded(Tensor):
    """Stands for the result of an operation that is recorded, to be run when a mask is reached.

    It has the shape, dtype and device of the tensor that it stands for, a place in autograd's graph
    and no data. Operations of ATen on it, below autograd and autocast, are handed to its recorder.

    Attributes:
        recorder: takes down the operations.
        node: the number of the result in the recording.
        probe: the same tensor for a batch without samples. Running every operation on it gives
            shapes and dtypes as torch has them, at no cost.
        along: the axes of its dims.
    """

    recorder: Recorder
    node: int
    probe: Tensor
    along: Layout

    @staticmethod
    def __new__(
        cls, recorder: Recorder, node: int, probe: Tensor, samples: int, along: Layout
    ) -> "Recorded":
        """Stand for a tensor of ``samples`` samples that is otherwise like ``probe``."""
        # In inference mode as well it is to be a tensor that autograd may meet later.
        inference = torch.is_inference_mode_enabled()
        with torch.inference_mode(False) if inference else nullcontext():
            self: Recorded = Tensor._make_wrapper_subclass(
                cls,
                _shape_of_batch(along, samples),
                strides=probe.stride(),
                dtype=probe.dtype,
                device=probe.device,
            )
        self.recorder, self.node, self.probe, self.along = recorder, node, probe, along
        return self

    def put_in_graph(self) -> "Recorded":
        """Let autograd take down what becomes of this."""
        with without_torch_function(), torch.inference_mode(False), torch.enable_grad():
            InGraph.apply(_LEAF, self)
        return self

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Let functions come down to operations, but for the few that these cannot tell of."""
        kwargs = kwargs or {}
        if func in QUERIES:
            with without_torch_function():
                return func(*args, **kwargs)
        recorder = first_recorded(args, kwargs).recorder
        if func is mask_gradient:
            args, kwargs = recorder.computed((tuple(args), kwargs))
            x, mask = args
            return recorder.mask(x, mask) if isinstance(x, Recorded) else func(x, mask)
        recorder.check(func, kwargs)
        given = tuple(args), kwargs
        args, kwargs = found = recorder.computed(given)
        if found is not given and not recorded_in(found):
            return func(*args, **kwargs)
        func = REWRITTEN.get(func, func)
        # Nothing is ever differentiated of what autograd takes down here, and no hooks are asked.
        keeping = nullcontext() if function_transforms_active() else _keeping_nothing()
        with without_torch_function(), keeping:
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Record an operation."""
        kwargs = kwargs or {}
        return first_recorded(args, kwargs).recorder.dispatch(func, args, kwargs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        with without_torch_function():
            return f"Recorded(shape={tuple(self.shape)}, dtype={self.dtype}, node={self.node})"


@lru_cache(maxsize=4096)
def _shape_of_batch(along: Layout, samples: int) -> Sequence[int]:
    return shape_of(along, samples)


def _keeping_nothing() -> AbstractContextManager[Any]:
    return saved_tensors_hooks(_nothing, _nothing)


def _nothing(_: Any) -> Any:
    return None


never_compile(
    Recorded.__new__,
    Recorded.put_in_graph,
    Recorded.__torch_function__,
    Recorded.__torch_dispatch__,
)


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if running_mean is None and use_input_stats:
        # ATen takes samples for channels in it, which no part of the batch could follow.
        return nn.functional.group_norm(input, input.shape[1], weight, bias, eps)
    # Means over samples couple these; without them it is frozen batch normalisation.
    mean, var = (None, None) if use_input_stats else (running_mean, running_var)
    norm = nn.functional.batch_norm
    return norm(input, mean, var, weight, bias, use_input_stats, momentum, eps)


def _pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    if mode != "circular":
        return nn.functional.pad(input, pad, mode, value)
    for back, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), start=1):
        size = input.shape[-back]
        parts = [input.narrow(-back, size - before, before)] if before > 0 else []
        parts.append(input.narrow(-back, max(0, -before), size - max(0, -before) - max(0, -after)))
        parts += [input.narrow(-back, 0, after)] if after > 0 else []
        input = torch.cat(parts, -back)
    return input


# Functions that come down to operations which treat samples otherwise than the functions do.
REWRITTEN: dict[Any, Any] = {nn.functional.instance_norm: _instance_norm, nn.functional.pad: _pad}


def recorded_in(value: Any) -> list[Recorded]:
    """Give the stand-ins in nested lists, tuples and dicts."""
    if isinstance(value, Recorded):
        return [value]
    if isinstance(value, _LEAVES):
        return []
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [found for item in value for found in recorded_in(item)]
    return []


# What most arguments are besides stand-ins: looking for a Mapping is slow.
_LEAVES = (Tensor, int, float, str, type(None), torch.dtype)


def first_recorded(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Recorded:
    """Give the first stand-in among arguments, and in nested lists, tuples and dicts in them."""
    first = next((value for value in args if isinstance(value, Recorded)), None)
    return first if first is not None else recorded_in((args, kwargs))[0]


def running_module(names: Mapping[int, str]) -> str:
    """Give the name of the innermost module whose code is running, by ids in ``names``.

    Reading the call stack costs nothing until it is asked for, unlike hooks on every module.
    """
    module = innermost(names)
    return "?" if module is None else names[id(module)]


def innermost(names: Mapping[int, str]) -> nn.Module | None:
    """Give the innermost module with a name whose code is running."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code  # asked first, for collecting a frame's locals is slow
        named = "self" in code.co_varnames or "self" in code.co_freevars
        module = frame.f_locals.get("self") if named else None
        if isinstance(module, nn.Module) and id(module) in names:
            return module
        frame = frame.f_back  # type: ignore[assignment]
    return None
