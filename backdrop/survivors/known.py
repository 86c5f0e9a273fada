"""What is known of an operation, from one step of training to the next.

Rules go by the shapes, layouts and dtypes of tensors and by all other arguments, never by what
tensors hold. So where these are the same, rule and result are, and neither is asked for again.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backdrop.operations.operation import Call, Operation
from backdrop.survivors.recorded import Recorded
from backdrop.survivors.stage import Node

# Of how many operations a handle remembers the rules: arguments may be others in every step.
MOST = 4096


class Known(NamedTuple):
    """What a recording notes of an operation.

    Attributes:
        operation: what its rule says.
        run, on_patches, out_of_place: as in a :class:`~backdrop.survivors.stage.Step`.
        probe: its result for a batch without samples.
        node: what is known of its result.
        aliases: whether this lies in the memory of the first operand.
    """

    operation: Operation
    run: Callable[..., Any]
    on_patches: Callable[..., Any]
    out_of_place: Callable[..., Any] | None
    probe: Tensor
    node: Node
    aliases: bool


class KnownOperations:
    """Remembers what is known of operations, and of recordings of the same ones."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Known] = {}
        self._splits: dict[Hashable, tuple[Any, Any]] = {}

    def __reduce__(self) -> Any:
        return KnownOperations, ()  # what rules give cannot be pickled: a copy finds it again

    def split(self, key: Hashable, asked: Any, find: Callable[[], Any]) -> Any:
        """Give how a recording was split if it is the same as under this key before, or find it."""
        before, found = self._splits.get(key, (None, None))
        if before != asked:
            found = find()
            if len(self._splits) >= MOST:
                self._splits.clear()
            self._splits[key] = asked, found
        return found

    def find(self, find: Callable[[], Known], call: Call, *rest: Hashable) -> Known:
        """Give what is known of a call that is recorded in a given manner, or find it."""
        # Outside the arguments, these decide on the result's kind.
        modes = torch.is_inference_mode_enabled(), torch.get_default_dtype()
        key = call.operation, rest, modes, tuple(map(_kind, call.arguments.values()))
        try:
            known = self._known.get(key)
        except TypeError:  # an argument that cannot be hashed
            return find()
        if known is None:
            known = find()
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = known
        return known


def _kind(value: Any) -> Hashable:
    """Give all of an argument that a rule may go by."""
    if isinstance(value, Recorded):
        return value.along, _of_tensor(value.probe)
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, list | tuple):
        return tuple(map(_kind, value))
    if isinstance(value, float | complex):
        return repr(value)  # 0.0 equals -0.0
    return type(value), value  # 1 equals True


def _of_tensor(x: Tensor) -> Hashable:
    stride = x.stride() if x.layout is torch.strided else ()
    return type(x), x.shape, stride, x.dtype, x.device, x.layout
