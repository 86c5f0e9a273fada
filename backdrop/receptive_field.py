"""Size and stride of every module's view of the input, by arithmetic.

The model runs once on tensors without data. Every operation in it translates the positions that its
inputs see into the positions that its output sees; what has no rule is named in an error.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import floor
from typing import Any

import torch
from torch import Tensor, nn

from backdrop.operations.joining import NEW, VALUE_FREE
from backdrop.operations.layout import Layout, NoRuleError
from backdrop.operations.operation import Call, Number, by_name, outputs_of
from backdrop.operations.rules import LISTS, operation_of, parts
from backdrop.positions import View, view_of_input, view_through
from backdrop.torch_private import TorchDispatchMode, fake_tensors


@dataclass(frozen=True)
class ReceptiveField:
    """What one position of a module's output sees of the input, in pixels per spatial dim.

    Attributes:
        size: the extent seen, including what lies beyond the input's border. Where no positions are
            left, as after global pooling, what is seen within the input: as a rule all of it.
        stride: the distance between the fields of neighbouring positions; where none are left, the
            input's size. In a map that is larger than the input it is a fraction of a pixel.
        is_map: whether the output is a feature map (N, C, *spatial) with positions along its
            spatial dims, where a spatial mask makes sense.
    """

    size: tuple[int, ...]
    stride: tuple[float, ...]
    is_map: bool = True


def receptive_field(model: nn.Module, input_shape: Sequence[int]) -> dict[str, ReceptiveField]:
    """Give the receptive field of every module's output, in the order in which modules finish.

    Knows convolutions, transposed ones too, poolings, linear layers, pointwise operations,
    normalisation, padding, cropping, interpolation, pixel shuffling, residual branches and
    concatenation, in any control flow. Branches are united to the smallest interval that holds
    them, and so is what neighbours in an enlarged map see. Normalisation couples positions by its
    statistics, and gates such as squeeze-and-excitation by a global factor; both are analysed as
    pointwise.

    A copy of the model that shares its weights runs once, in eval mode and without data. A module
    that is called several times is given with its last call, one without tensor output is left out.

    Args:
        model: any model that takes one tensor.
        input_shape: (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    Raises:
        ValueError: if ``input_shape`` has no spatial dims.
        NotImplementedError: if the model does what cannot be analysed, named in the message.

    Example:
        >>> fields = receptive_field(nn.Sequential(nn.Conv1d(1, 1, 5, 2), nn.ReLU()), (1, 1, 32))
        >>> fields["1"]
        ReceptiveField(size=(5,), stride=(2,), is_map=True)
    """
    fields: dict[str, ReceptiveField] = {}
    for name, field in trace_fields(model, input_shape):
        fields.pop(name, None)
        fields[name] = field
    return fields


def trace_fields(model: nn.Module, input_shape: Sequence[int]) -> list[tuple[str, ReceptiveField]]:
    """Give name and receptive field of every call of a module, in the order in which calls end."""
    if len(input_shape) < 3:
        raise ValueError(f"input_shape must be (N, C, *spatial), got {tuple(input_shape)}")
    sample = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    calls: list[tuple[str, ReceptiveField]] = []
    running: list[str] = []
    tracer = _Tracer(running)

    def leave(name: str, module: nn.Module, args: Any, output: Any) -> None:
        running.pop()
        if isinstance(output, Tensor) and (view := tracer.view_of(output)) is not None:
            calls.append((name, _field(view, input_shape[2:])))

    # A copy that shares its weights: what a model keeps from this pass stays out of the original.
    weights = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, weights).eval()
    for name, module in model.named_modules():
        module.register_forward_pre_hook(partial(lambda name, *_: running.append(name), name))
        module.register_forward_hook(partial(leave, name))
    with torch.no_grad(), fake_tensors():
        x = torch.empty(tuple(input_shape), dtype=sample.dtype, device=sample.device)
        tracer.start(x)
        with tracer:
            model(x)
    return calls


def _field(view: View, input_size: Sequence[int]) -> ReceptiveField:
    size, stride = [], []
    left = [view.positions(axis) is not None for axis in range(len(view.spans))]
    for span, pixels, some in zip(view.spans, input_size, left, strict=True):
        first = span.first if some else max(span.first, 0)
        last = span.last if some else min(span.last, pixels - 1)
        size.append(floor(last - first) + 1)
        stride.append(_plain(span.stride) if some else pixels)
    return ReceptiveField(tuple(size), tuple(stride), is_map=view.is_map)


def _plain(number: Number) -> float:
    return int(number) if number == int(number) else float(number)


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the view of every tensor that depends on the model's input."""

    def __init__(self, running: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running = running
        # The tensors are kept as well: a freed one's id could be given to another.
        self.views: dict[int, tuple[Tensor, View]] = {}

    def view_of(self, value: Any) -> View | None:
        entry = self.views.get(id(value)) if isinstance(value, Tensor) else None
        return entry and entry[1]

    def start(self, x: Tensor) -> None:
        self.views[id(x)] = x, view_of_input(x.shape)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and self.view_of(args[0]):
            raise self._error(func, "the model reads a value, and this pass has no data")
        result = func(*args, **(kwargs or {}))
        outputs = [out for out in outputs_of(result) if isinstance(out, Tensor)]
        try:
            self._keep(func, by_name(func, args, kwargs or {}), outputs)
        except NoRuleError as error:
            raise self._error(func, error) from error
        return result

    def _error(self, func: Any, reason: object) -> NotImplementedError:
        return NotImplementedError(
            f"cannot give a receptive field past {func} in module {self.running[-1]!r}: {reason}. "
            "Analyse the modules before it on their own, or replace what calls it by known "
            "operations for the analysis (by nn.Identity if it moves no positions)"
        )

    def _keep(self, func: Any, arguments: dict[str, Any], outputs: Sequence[Tensor]) -> None:
        views = self._views(func, arguments, outputs)
        for out, view in zip(outputs, views, strict=False):
            if func._schema.is_mutable and out._base is not None and view != self.view_of(out):
                raise NoRuleError("it writes into a part of a tensor")
            self.views[id(out)] = out, view

    def _views(
        self, func: Any, arguments: dict[str, Any], outputs: Sequence[Tensor]
    ) -> Sequence[View]:
        """Give the views of an operation's outputs, none if they do not depend on the input."""
        call = self._call(func, arguments, outputs, 0)
        if not call.maps or not outputs or call.name in VALUE_FREE | NEW:
            return []
        calls = [call]
        if call.name in LISTS:
            listed = enumerate(parts(call))
            calls = [self._call(func, given, outputs, i) for i, (func, given) in listed]
        views = []
        for call in calls:
            met = [view for tensor in call.tensors if (view := self.view_of(tensor))]
            views.append(view_through(operation_of(call), met))
        return views

    def _call(
        self, func: Any, arguments: dict[str, Any], outputs: Sequence[Tensor], number: int
    ) -> Call:
        return Call(func, arguments, self._layout_of, lambda: outputs[number].shape)

    def _layout_of(self, value: Any) -> Layout | None:
        view = self.view_of(value)
        return None if view is None else view.layout
