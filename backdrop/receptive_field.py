"""Size and stride of every module's view of the input, by arithmetic.

The model runs once on tensors without data. Every operation in it translates the positions that its
inputs see into the positions that its output sees; what has no rule is named in an error.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from backdrop.position_rules import follow
from backdrop.positions import NoRuleError, View, whole_input


@dataclass(frozen=True)
class ReceptiveField:
    """What one position of a module's output sees of the input, in pixels per spatial dim.

    Attributes:
        size: the extent seen, including what lies beyond the input's border. Where no positions are
            left, as after global pooling, what is seen within the input: as a rule all of it.
        stride: the distance between the fields of neighbouring positions; where none are left, the
            input's size.
        is_map: whether the output is a feature map (N, C, *spatial) with positions along its
            spatial dims, where a spatial mask makes sense.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    is_map: bool = True


def receptive_field(model: nn.Module, input_shape: Sequence[int]) -> dict[str, ReceptiveField]:
    """Give the receptive field of every module's output, in the order in which modules finish.

    Knows convolutions, poolings, linear layers, pointwise operations, normalisation, padding,
    cropping, residual branches and concatenation, in any control flow. Branches are united to the
    smallest interval that holds them. Normalisation couples positions by its statistics, and
    gates such as squeeze-and-excitation by a global factor; both are analysed as pointwise.

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
    from torch._subclasses.fake_tensor import FakeTensorMode  # slow to import

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
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
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
        size.append(last - first + 1)
        stride.append(span.stride if some else pixels)
    return ReceptiveField(tuple(size), tuple(stride), is_map=view.is_map)


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
        self.views[id(x)] = x, whole_input(x.shape)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and self.view_of(args[0]):
            raise self._error(func, "the model reads a value, and this pass has no data")
        result = func(*args, **(kwargs or {}))
        outputs = [out for out in _listed(result) if isinstance(out, Tensor)]
        try:
            self._keep(func, _by_name(func, args, kwargs or {}), outputs)
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
        views = follow(func, arguments, self.view_of, [out.shape for out in outputs])
        for out, view in zip(outputs, _listed(views), strict=False):
            if view is None:
                continue
            if func._schema.is_mutable and out._base is not None and view != self.view_of(out):
                raise NoRuleError("it writes into a part of a tensor")
            self.views[id(out)] = out, view


def _by_name(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give an operation's arguments by the names in its schema, defaults included."""
    rest = {
        a.name: kwargs.get(a.name, a.default_value) for a in func._schema.arguments[len(args) :]
    }
    names = (a.name for a in func._schema.arguments)
    return dict(zip(names, args, strict=False)) | rest


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]
