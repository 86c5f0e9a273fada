"""What a rule says of one call of an operation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, cached_property
from typing import Any, NamedTuple

from torch import Tensor

from backdrop.operations.layout import Layout
from backdrop.torch_private import OpOverload

Number = int | Fraction


class Window(NamedTuple):
    """Along one axis, output o sees the input from o · stride + first to o · stride + last.

    Where maps are enlarged these are fractions, and it sees the whole numbers between them.
    """

    first: Number
    last: Number
    stride: Number

    @classmethod
    def sliding(cls, kernel: int, stride: int, padding: int, dilation: int) -> "Window":
        """Give that of a convolution or pooling."""
        return cls(-padding, dilation * (kernel - 1) - padding, stride)


@dataclass(frozen=True)
class Operation:
    """How one call of an operation runs on other tensors, and what each output sees.

    Attributes:
        layout: of the output.
        windows: for each spatial axis along which an output sees more than its own position.
        whole: the spatial axes along which every output sees all positions.
        couples: why it cannot be run on patches, but on whole samples; empty if it can.
        mixes: why it cannot even be run on some of the samples; empty if it can.
        untraced: whether nothing is known of the positions that an output sees.
        run: computes the output from whole samples, given the tensors among the arguments in order;
            None for the operation itself.
        on_patches: the same for patches, without padding; None if ``run`` does.
        shaped: whether ``run`` takes the output's shape as well.
        fill: what is written over that part of a patch of its inputs that lies outside the map: the
            value that it pads with, or one at which its derivative is finite.
        work: multiply-adds for one element of the output.
        gates: whether an input without positions is a factor common to all.
        pools: whether it leaves no positions along axes of size 1.
    """

    layout: Layout
    windows: Mapping[int, Window] = field(default_factory=dict)
    whole: frozenset[int] = frozenset()
    couples: str = ""
    mixes: str = ""
    untraced: bool = False
    run: Callable[..., Any] | None = None
    on_patches: Callable[..., Any] | None = None
    shaped: bool = False
    fill: float = 0.0
    work: int = 1
    gates: bool = False
    pools: bool = False


class Call:
    """One call of an operation of ATen.

    Args:
        operation: what is called.
        arguments: its arguments by the names in its schema, defaults included.
        layout_of: gives the layout of a tensor that depends on the input, None for the rest.
        find_shape: gives the shape of the (first) output, in which the samples' size is any.
    """

    def __init__(
        self,
        operation: OpOverload,
        arguments: Mapping[str, Any],
        layout_of: Callable[[Any], Layout | None],
        find_shape: Callable[[], Sequence[int]],
    ) -> None:
        self.operation, self.arguments, self.layout_of = operation, arguments, layout_of
        self._find_shape = find_shape

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Give an argument, or a default where the schema has none of that name."""
        return self.arguments.get(name, default)

    @property
    def name(self) -> str:
        """Give the operation's name without namespace, overload and the mark of in-place ones."""
        return name_of(self.operation)

    @cached_property
    def shape(self) -> Sequence[int]:
        """Give the shape of the (first) output."""
        return self._find_shape()

    @cached_property
    def tensors(self) -> list[Tensor]:
        """Give the tensors among the arguments, in order."""
        return list(tensors_in(self.arguments.values()))

    @cached_property
    def maps(self) -> list[tuple[Tensor, Layout]]:
        """Give the tensors that depend on the input, with their layouts."""
        met = [(tensor, self.layout_of(tensor)) for tensor in self.tensors]
        return [(tensor, layout) for tensor, layout in met if layout is not None]

    @property
    def first(self) -> Layout:
        """Give the layout of the first argument."""
        layout = self.layout_of(next(iter(self.arguments.values())))
        assert layout is not None  # the registry looks
        return layout

    def bound(self, **changed: Any) -> Callable[..., Any]:
        """Give the call as a function of its tensors, with some arguments changed."""
        return bind(self.operation, {**self.arguments, **changed})


@cache  # reading a schema is slow
def name_of(operation: OpOverload) -> str:
    """Give an operation's name without namespace, overload and the mark of in-place ones."""
    name: str = operation._schema.name
    return name.split("::", 1)[-1].removesuffix("_")


def by_name(
    operation: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Give an operation's arguments by the names in its schema, defaults included."""
    named = dict(_defaults(operation))
    named.update(zip(named, args, strict=False))
    named.update(kwargs)
    return named


@cache
def _defaults(operation: OpOverload) -> dict[str, Any]:
    return {a.name: a.default_value for a in operation._schema.arguments}


def tensors_in(values: Any) -> Any:
    """Give the tensors among values, and in the lists among them, in order."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, Tensor))


def outputs_of(value: Any) -> list[Any]:
    """Give what an operation returns as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def bind(operation: OpOverload, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Give a call of an operation as a function of the tensors in it."""
    keywords = {a.name for a in operation._schema.arguments if a.kwarg_only}
    positional = [value for name, value in arguments.items() if name not in keywords]
    named = {name: value for name, value in arguments.items() if name in keywords}
    if all(isinstance(value, Tensor) for value in positional) and not named:
        return operation

    # The tensors themselves are not kept: their memory is to be free when they are.
    template = [_emptied(value) for value in positional]
    rest = {name: _emptied(value) for name, value in named.items()}

    def run(*tensors: Tensor) -> Any:
        left = iter(tensors)
        args = [_filled(value, left) for value in template]
        kwargs = {name: _filled(value, left) for name, value in rest.items()}
        return operation(*args, **kwargs)

    return run


_TENSOR = object()


def _filled(value: Any, tensors: Any) -> Any:
    if value is _TENSOR:
        return next(tensors)
    if isinstance(value, list):
        return [next(tensors) if item is _TENSOR else item for item in value]
    return value


def _emptied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _TENSOR
    if isinstance(value, list | tuple):
        return [_TENSOR if isinstance(item, Tensor) else item for item in value]
    return value


Rule = Callable[[Call], Operation]
"""Gives the operation that a call comes to."""
