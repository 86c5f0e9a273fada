"""A stand-in for a tensor that is not computed yet, and the module in whose code it is met."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Axes = tuple[int, ...]

# What the stand-in answers by itself, because its shape, dtype and device are those of the tensor.
_PROPERTIES = ("shape", "ndim", "dtype", "device", "layout", "is_cuda", "is_sparse", "is_nested")
_METHODS = ("size", "dim", "numel", "nelement", "is_floating_point", "is_complex", "__len__")
QUERIES = {getattr(Tensor, name).__get__ for name in _PROPERTIES} | {
    getattr(Tensor, name) for name in _METHODS
}
# What torch calls when an autograd function marks it as changed.
QUERIES.add(getattr(Tensor, "_backward_hooks").__set__)  # noqa: B009


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

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record ``func(*args, **kwargs)`` and give a stand-in for its result."""

    def refusal(self, what: str, why: str) -> InexactError:
        """Give the error that names the running module."""


class InGraph(torch.autograd.Function):
    """Gives a stand-in a place in autograd's graph, after which come functions applied to it."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor, x: Tensor) -> Tensor:
        """Give the stand-in itself."""
        ctx.mark_dirty(x)
        return x


_LEAF = torch.zeros((), requires_grad=True)


class Recorded(Tensor):
    """Stands for the result of an operation that is recorded, to be run when a mask is reached.

    It has the shape, dtype and device of the tensor that it stands for and no data. What a model
    does with it is handed to its recorder; what bypasses that raises.

    Attributes:
        recorder: takes down the operations.
        node: the number of the result in the recording.
        probe: the same tensor for a batch without samples. Running every operation on it gives
            shapes and dtypes as torch has them, autocast included, at no cost.
        axes: the dims along which positions run, None if the positions are merged.
    """

    recorder: Recorder
    node: int
    probe: Tensor
    axes: Axes | None

    @staticmethod
    def __new__(
        cls,
        recorder: Recorder,
        node: int,
        probe: Tensor,
        samples: int,
        axes: Axes | None,
        in_graph: bool = False,
    ) -> "Recorded":
        """Stand for a tensor of ``samples`` samples that is otherwise like ``probe``.

        What an autograd function makes of it needs a gradient and so has a ``grad_fn``; with
        ``in_graph``, at some cost, also what it changes in place or makes without looking at it.
        """
        self: Recorded = Tensor._make_wrapper_subclass(
            cls,
            (samples, *probe.shape[1:]),
            dtype=probe.dtype,
            device=probe.device,
            requires_grad=not in_graph,
        )
        self.recorder, self.node, self.probe, self.axes = recorder, node, probe, axes
        if in_graph:
            with torch._C.DisableTorchFunctionSubclass():
                InGraph.apply(_LEAF, self)
        return self

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Answer questions about the shape and record everything else."""
        if func in QUERIES:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        recorder = next(iter(recorded_in([args, kwargs or {}]))).recorder
        return recorder.call(func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Refuse what goes past ``__torch_function__``, as other autograd Functions do."""
        met = recorded_in([args, kwargs or {}])
        refusal = met[0].recorder.refusal if met else partial(InexactError, where="?")
        raise refusal(what=str(func), why="it bypasses the recording of the stage")

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        with torch._C.DisableTorchFunctionSubclass():
            return f"Recorded(shape={tuple(self.shape)}, dtype={self.dtype}, node={self.node})"


def recorded_in(value: Any) -> list[Recorded]:
    """Give the stand-ins in nested lists, tuples and dicts."""
    if isinstance(value, Recorded):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [found for item in value for found in recorded_in(item)]
    return []


def running_module(names: Mapping[int, str]) -> str:
    """Give the name of the innermost module whose code is running, by ids in ``names``.

    Reading the call stack costs nothing until it is asked for, unlike hooks on every module.
    """
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in names:
            return names[id(module)]
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


# Where a model is compiled, or calls a compiled function, torch.compile would compile this as well.
_frames = torch._C._dynamo.eval_frame
_skip = _frames._FrameExecStrategy(_frames._FrameAction.SKIP, _frames._FrameAction.SKIP)
for _method in (Recorded.__new__, Recorded.__torch_function__):
    _frames.set_code_exec_strategy(_method.__code__, _skip)
