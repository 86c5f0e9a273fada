"""The registry: for every operation of ATen that is known, its one rule."""

from itertools import accumulate
from typing import Any

import torch

from backdrop.operations import combining, joining, rearranging, windows
from backdrop.operations.layout import NoRuleError, size_of
from backdrop.operations.operation import Call, Operation
from backdrop.torch_private import OpOverload

UNKNOWN = "there is no rule for it, and it might couple samples or positions"
SECOND = "a second feature map of the stage meets it, and might couple samples"

RULES = joining.RULES | windows.RULES | combining.RULES | rearranging.RULES

# Operations in which several tensors that depend on the input may meet.
JOINING = {"cat", "stack", "mm", "bmm", "addmm", "baddbmm", "native_layer_norm"}

# Operations with a list of outputs, each of which is a slice or an index of the input.
LISTS = {"split", "split_with_sizes", "unbind"}


def operation_of(call: Call) -> Operation:
    """Apply the rule of what is called.

    Raises:
        NoRuleError: if there is none, or none for this use of it.
    """
    name, operation = call.name, call.operation
    rule = RULES.get(name)
    if rule is None and torch.Tag.pointwise in operation.tags:
        rule = joining.pointwise
    if rule is None or not operation._schema.name.startswith("aten::"):
        raise NoRuleError(UNKNOWN)
    if rule is joining.pointwise or name in JOINING:
        return rule(call)
    if call.layout_of(next(iter(call.arguments.values()))) is None:
        raise NoRuleError("its first argument does not come from the input")
    if len(call.maps) > 1:
        raise NoRuleError(SECOND)
    return rule(call)


def parts(call: Call) -> list[tuple[OpOverload, dict[str, Any]]]:
    """Give the operations that compute each of a list of outputs, with their arguments."""
    x, dim = call["self"], call["dim"]
    size = size_of(call.first[dim])
    if call.name == "unbind":
        select = torch.ops.aten.select.int
        return [(select, {"self": x, "dim": dim, "index": i}) for i in range(size)]
    given = call.get("split_sizes") or call.get("split_size")
    assert given is not None
    sizes = list(given) if not isinstance(given, int) else [given] * -(-size // given)
    starts = list(accumulate(sizes, initial=0))
    ends = [min(start + one, size) for start, one in zip(starts, sizes, strict=False)]
    take = torch.ops.aten.slice.Tensor
    return [
        (take, {"self": x, "dim": dim, "start": start, "end": end, "step": 1})
        for start, end in zip(starts, ends, strict=False)
    ]
