"""Takes down what a model does with its input until a mask is reached."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import resolve_name

from backdrop.mask import mask_gradient
from backdrop.survivors.normalisation import NORMALISATION
from backdrop.survivors.operation import Operation, RefusedError
from backdrop.survivors.rearranging import JOINING, OF_FUNCTION, REARRANGING
from backdrop.survivors.recorded import (
    Axes,
    InexactError,
    Recorded,
    recorded_in,
    running_module,
)
from backdrop.survivors.regions import (
    OF_GRAPH,
    Region,
    checkpoints_running,
    function_behind,
    function_of,
    in_function,
    running_region,
)
from backdrop.survivors.sliding import SLIDING
from backdrop.survivors.stage import Autocast, Node, Stage, Step

UNKNOWN = "it is unknown here, and might couple samples or positions"
WITHOUT_GRAPH = "a stage has no graph to ask for or to hang hooks on, as module hooks do"
RULES = SLIDING | NORMALISATION | REARRANGING


class Pass(Protocol):
    """One forward pass of a model: its modules' names by id, and what happens at its masks."""

    names: Mapping[int, str]

    def at_mask(self, recording: "Recording", output: Recorded, mask: Tensor) -> Tensor:
        """End a recording at a mask and give what the model goes on with."""


class Recording:
    """The operations since the last mask, or since the model's input.

    Args:
        during: the forward pass that this is a part of.
        source: the tensor that the recording begins with; None where nothing is to be computed.
        probe: the same for a batch without samples.
        samples: the number of samples.
    """

    def __init__(self, during: Pass, source: Tensor | None, probe: Tensor, samples: int) -> None:
        self.during, self.source, self.samples = during, source, samples
        self.device = probe.device.type
        self.nodes: list[Node] = []
        self.steps: list[Step] = []
        self.tensors: list[Tensor] = []  # once it has ended
        # All real tensors that were met, each with its version when it was.
        self._met: list[tuple[Tensor, int]] = []
        # For each node the first one in the same memory; the nodes that were overwritten.
        self._memory: list[int] = []
        self._stale: set[int] = set()
        # By node, why its gradient is not that of the operations that lead to it.
        self._refused: dict[int, InexactError] = {}
        self._checkpoints = checkpoints_running()
        self._ended = False
        self.start = self._new(probe, tuple(range(2, probe.ndim)))

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record ``func(*args, **kwargs)`` and give a stand-in for its result.

        Raises:
            InexactError: an operation that a stage cannot hold.
        """
        if func is mask_gradient:
            self._check(args, "a mask")
            self._check_around_mask()
            return self.during.at_mask(self, *args)
        full_name = name_of(func)
        try:
            self._check((args, kwargs), full_name)
            return self._record(full_name, func, args, kwargs)
        except RefusedError as error:
            what, why = full_name, str(error)
            if in_function():
                what, why = running_region() or (what, why)
            raise self.refusal(what, why) from None

    def refusal(self, what: str, why: str) -> InexactError:
        """Give the error that names the running module."""
        return InexactError(what, running_module(self.during.names), why)

    def _check(self, value: Any, what: str) -> None:
        for item in recorded_in(value):
            if item.recorder is not self or self._ended:
                why = "a connection leads round a mask, from before it to behind it"
                raise self.refusal(what, why)
            if item.node in self._stale:
                raise self.refusal(what, "its input was changed in place under another name")

    def _check_around_mask(self) -> None:
        region = running_region()
        if in_function() and region is not None:
            raise self.refusal(*region)
        if region is None and checkpoints_running() > self._checkpoints:
            why = "a mask lies in what it runs again, where nothing can be recorded"
            raise self.refusal("torch.utils.checkpoint", why)

    def _record(self, full_name: str, func: Any, args: Any, kwargs: Any) -> Recorded:
        name = full_name.rsplit(".", 1)[-1]
        target: Recorded | None = None
        base = name if name.endswith("__") else name.removesuffix("_")
        if base in OF_FUNCTION and (base != name or kwargs.get("inplace")):
            target = _first(args, kwargs)
            if not isinstance(target, Recorded):
                raise RefusedError("it changes a tensor that does not come from the stage's input")
            if self._memory[target.node] == 0:
                # The stage's input is kept for the backward pass: leave it as it is.
                func = _out_of_place(base) if base != name else func
                kwargs = {key: value for key, value in kwargs.items() if key != "inplace"}
            name = base
        if torch._C._are_functorch_transforms_active():
            raise RefusedError("torch.func transforms it")
        if not full_name.startswith(("torch.", "aten.")):  # another's, of whatever name
            raise RefusedError(UNKNOWN)
        operation = _rule(name, func, args, kwargs)
        with torch.no_grad():
            probe = operation.run(*(getattr(x, "probe", x) for x in operation.operands))
        if not isinstance(probe, Tensor):
            raise RefusedError("it gives no tensor")
        result = self._new(probe, operation.axes)
        region = running_region() or self._function_before(operation)
        if region is not None:
            self._refused[result.node] = self.refusal(*region)
        self._append(operation, result.node, full_name)
        if operation.aliases:
            self._memory[result.node] = self._memory[operation.operands[0].node]
        if target is None:
            return result
        root = self._memory[target.node]
        self._stale |= {node for node, memory in enumerate(self._memory) if memory == root}
        target.node, target.axes = result.node, result.axes
        return target

    def _function_before(self, operation: Operation) -> Region | None:
        for operand in operation.operands:
            if isinstance(operand, Recorded):
                function = function_of(operand)
            elif isinstance(operand, Tensor) and self.source is None and not operand.is_leaf:
                # Looked for in trials alone: what it was computed from may be much.
                function = function_behind(operand)
            else:
                continue
            if function is not None:
                return function
        return None

    def _append(self, operation: Operation, output: int, full_name: str) -> None:
        operands = tuple(
            x.node if isinstance(x, Recorded) else None if x is None else ~self._tensor(x)
            for x in operation.operands
        )
        autocast = Autocast.current(self.device)
        module = running_module(self.during.names) if operation.couples else ""
        operation = replace(operation, operands=())
        self.steps.append(Step(operation, operands, output, autocast, full_name, module))

    def _tensor(self, tensor: Tensor) -> int:
        number = next((i for i, (known, _) in enumerate(self._met) if known is tensor), None)
        if number is None:
            number = len(self._met)
            self._met.append((tensor, _version(tensor)))
        return number

    def leading_to(self, output: Recorded) -> list[Step]:
        """Give the steps that ``output`` is computed by.

        Raises:
            InexactError: if its gradient is not theirs, and it has one; if a tensor that they take
                has changed since.
        """
        kept: list[Step] = []
        needed = {output.node}
        for step in reversed(self.steps):
            if step.output in needed:
                kept.insert(0, replace(step, done=tuple(set(step.inputs) - needed)))
                needed |= set(step.inputs)
        changed = {i for i, (tensor, then) in enumerate(self._met) if _version(tensor) != then}
        for step in kept if changed else ():
            if not changed.isdisjoint(step.taken):
                why = "a tensor that it takes is changed in place before its mask is met"
                raise self.refusal(step.name, why)
        if torch.is_grad_enabled():
            for node, error in self._refused.items():
                if node in needed:
                    raise error
            function = function_of(output)
            if function is not None:
                raise self.refusal(*function)
        return kept

    def end(self, output: Recorded) -> Stage:
        """Give the stage that leads to ``output``; nothing can be recorded any more."""
        if self._ended:
            raise self.refusal("the model's output", "a connection leads round a mask")
        self._ended = True
        kept = self.leading_to(output)
        used = sorted({i for step in kept for i in step.taken})
        self.tensors = [self._met[i][0] for i in used]
        number = {~i: ~new for new, i in enumerate(used)}
        steps = (
            replace(step, operands=tuple(number.get(i, i) for i in step.operands))  # type: ignore[arg-type]
            for step in kept
        )
        return Stage(tuple(self.nodes), tuple(steps), output.node)

    def _new(self, probe: Tensor, axes: Axes | None) -> Recorded:
        node = len(self.nodes)
        self.nodes.append(Node(tuple(probe.shape[1:]), axes))
        self._memory.append(node)
        return Recorded(self, node, probe, self.samples, axes, in_graph=self.source is None)


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


@cache
def name_of(func: Any) -> str:
    """Give the name by which torch knows one of its functions."""
    return resolve_name(func) or str(func)


def _out_of_place(name: str) -> Any:
    return getattr(Tensor, name, None) or getattr(functional, name)


def _rule(name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Operation:
    rule = partial(OF_FUNCTION[name], func) if name in OF_FUNCTION else RULES.get(name)
    if rule is None:
        raise RefusedError(WITHOUT_GRAPH if func in OF_GRAPH else UNKNOWN)
    if name not in JOINING:
        _check_alone(args, kwargs)
    try:
        return rule(*args, **kwargs)
    except TypeError as error:
        raise RefusedError(f"its arguments are unknown here ({error})") from error


def _check_alone(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise RefusedError unless the first argument, and no other, comes from the stage's input."""
    first = _first(args, kwargs)
    if not isinstance(first, Recorded):
        raise RefusedError("its first argument does not come from the stage's input")
    if len(recorded_in((args, kwargs))) > 1:
        raise RefusedError("a second feature map of the stage meets it, and might couple samples")


def _first(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input")
