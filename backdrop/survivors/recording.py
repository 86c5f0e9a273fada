"""Takes down what a model does with its input until a mask is reached."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor

from backdrop.operations.joining import NEW
from backdrop.operations.layout import Layout, NoRuleError, shape_of
from backdrop.operations.operation import Call, by_name, outputs_of
from backdrop.operations.rules import LISTS, operation_of, parts
from backdrop.survivors.known import Known, KnownOperations
from backdrop.survivors.recorded import InexactError, Recorded, recorded_in, running_module
from backdrop.survivors.regions import (
    OF_GRAPH,
    Region,
    checkpoints_running,
    function_behind,
    function_of,
    in_function,
    running_region,
    transforming,
)
from backdrop.survivors.stage import (
    Node,
    Step,
    freeing,
    run_steps,
    without_autocast,
)
from backdrop.torch_private import never_compile

WITHOUT_GRAPH = "a stage has no graph to ask for or to hang hooks on, as module hooks do"
RANDOM = "run again on the survivors, it would draw other random numbers"
STALE = "its input was changed in place under another name"
ELSEWHERE = "it changes a tensor that does not come from the stage's input"


class Pass(Protocol):
    """One forward pass of a model: its modules' names by id, and what happens at its masks."""

    names: Mapping[int, str]
    known: KnownOperations
    # The recording that is going on; None after the last mask.
    current: "Recording | None"

    def at_mask(self, output: Recorded, mask: Tensor) -> Any:
        """End a recording at a mask and give what the model goes on with."""


class Recording:
    """The operations since the last mask, or since the model's input.

    Args:
        during: the forward pass that this is a part of.
        source: the tensor that the recording begins with; None where nothing is to be computed.
        probe: the same for a batch without samples.
        samples: the number of samples.
        along: the axes of its dims.

    Attributes:
        escapes: the nodes that were used after the mask at which this ended.
        values: by node, the tensors that were given or have been computed.
    """

    def __init__(
        self, during: Pass, source: Tensor | None, probe: Tensor, samples: int, along: Layout
    ) -> None:
        self.during, self.samples = during, samples
        self.computes = source is not None
        self.device = probe.device.type
        self.axes = max(0, probe.ndim - 2)
        self.nodes: list[Node] = []
        self.steps: list[Step] = []
        self.values: dict[int, Tensor] = {}
        self.escapes: set[int] = set()
        # The nodes that were given, and all real tensors that were met, each with its version then.
        self._given: list[int] = []
        self._adopted: dict[tuple[int, int], int] = {}
        self._met: list[tuple[Tensor, int]] = []
        # For each node the first one in the same memory; the nodes that were overwritten.
        self._memory: list[int] = []
        self._stale: set[int] = set()
        # By node, why its gradient is not that of the operations that lead to it.
        self._refused: dict[int, InexactError] = {}
        self._checkpoints = checkpoints_running()
        self.start = self._give(source, probe, along).put_in_graph()

    # What the stand-ins call.

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record an operation of ATen in the recording that is going on.

        Raises:
            InexactError: an operation that a stage cannot hold.
        """
        recording = self.during.current
        if recording is None:
            raise self.refusal(_title(func), "its result was not computed")
        try:
            return recording._call(func, args, kwargs)
        except (NoRuleError, _RefusedError) as error:
            what, why = _title(func), str(error)
            if in_function() and func.namespace == "aten":
                what, why = running_region() or (what, why)
            raise self.refusal(what, why) from None

    def check(self, func: Any, kwargs: Mapping[str, Any]) -> None:
        """Refuse, while there are stages, what asks for a graph or writes its result elsewhere."""
        if self.during.current is None:
            return
        why = WITHOUT_GRAPH if func in OF_GRAPH else ""
        if kwargs.get("out") is not None:
            why = "it takes further tensors to write into"
        if why:
            raise self.refusal(torch.overrides.resolve_name(func) or str(func), why)

    def mask(self, x: Recorded, mask: Tensor) -> Any:
        """End a stage at a mask."""
        return self.during.at_mask(x, mask)

    def computed(self, value: Any) -> Any:
        """Give real tensors for stand-ins once there are no stages any more; else the same."""
        current = self.during.current
        if current is not None:
            for x in recorded_in(value):
                if x.recorder is not current:
                    current.node_of(x)
            return value
        if isinstance(value, Recorded):
            recorder = value.recorder
            assert isinstance(recorder, Recording)
            return recorder.value(value)
        if isinstance(value, Mapping):
            return {key: self.computed(item) for key, item in value.items()}
        if isinstance(value, list | tuple) and recorded_in(value):
            items = [self.computed(item) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        return value

    # Recording.

    def refusal(self, what: str, why: str) -> InexactError:
        """Give the error that names the running module."""
        return InexactError(what, running_module(self.during.names), why)

    def node_of(self, x: Recorded) -> int:
        """Give the node of a stand-in here, also where it comes from an earlier stage."""
        recorder = x.recorder
        if recorder is self:
            return x.node
        if not isinstance(recorder, Recording) or recorder.during is not self.during:
            raise _RefusedError("it comes from another forward pass")
        key = id(recorder), x.node
        if key not in self._adopted:
            recorder.escapes.add(x.node)
            recorder.check_output(x)
            value = recorder.value(x) if self.computes else None
            self._adopted[key] = self._give(value, x.probe, x.along).node
        return self._adopted[key]

    def _call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        arguments = by_name(func, args, kwargs)
        call = self._call_of(func, arguments)
        if not self.computes and transforming():
            raise _RefusedError("torch.func transforms it")
        if _random(func):
            raise _RefusedError(RANDOM)
        if call.name in NEW:
            return func(*_probes(args), **kwargs)
        if call.name == "detach":  # autograd does so itself with results that it keeps
            return self._unusable(args[0], func, WITHOUT_GRAPH)
        if call.name in LISTS:
            listed = (self._call_of(*part) for part in parts(call))
            return [self._record(part, func) for part in listed]
        if _in_place(func):
            return self._change(call, args[0], func)
        y = self._record(call, func)
        further = _returned(func) - 1
        if further < 1:
            return y
        return (y, *[self._unusable(y, func, "more than its first result is used")] * further)

    def _call_of(self, func: Any, arguments: Mapping[str, Any]) -> Call:
        call: Call

        def shape() -> Sequence[int]:
            out: Tensor = _first(self._on_probes(call.bound(), call.tensors))
            return out.shape

        call = Call(func, arguments, _layout_of, shape)
        return call

    def _on_probes(self, run: Callable[..., Any], tensors: Iterable[Any], *rest: Any) -> Any:
        with torch.no_grad(), without_autocast(self.device):
            return run(*(getattr(tensor, "probe", tensor) for tensor in tensors), *rest)

    def _change(self, call: Call, target: Any, func: Any) -> Recorded:
        """Record an operation in place; run again, it leaves what the stage was given as it is."""
        if not isinstance(target, Recorded):
            raise _RefusedError(ELSEWHERE)
        node = self.node_of(target)
        root = self._memory[node]
        functional, names = _functional(func)
        in_place = None if root in self._given else call
        call = self._call_of(functional, dict(zip(names, call.arguments.values(), strict=False)))
        result = self._record(call, func, target.probe.dtype, in_place)
        if result.shape != target.shape:
            raise _RefusedError("it changes the shape of a tensor in place")
        self._stale |= {i for i, memory in enumerate(self._memory) if memory == root}
        self._stale.discard(result.node)
        if isinstance(target.recorder, Recording) and target.recorder is not self:
            target.recorder.overwrite(target.node)
        target.recorder, target.node, target.along = self, result.node, result.along
        return target

    def overwrite(self, node: int) -> None:
        """Note that what lies in a node's memory was changed after this ended."""
        root = self._memory[node]
        self._stale |= {i for i, memory in enumerate(self._memory) if memory == root}

    def _record(
        self,
        call: Call,
        func: Any,
        dtype: torch.dtype | None = None,
        in_place: Call | None = None,
    ) -> Recorded:
        known = self.during.known.find(
            partial(self._find, call, dtype, in_place), call, dtype, in_place is None, self.axes
        )
        operation = known.operation
        result = self._new(known.probe, known.node)
        operands = tuple(
            self.node_of(x) if isinstance(x, Recorded) else ~self._tensor(x) for x in call.tensors
        )
        self._check(call.tensors, operands, result.node, _title(func))
        to, module = known.node, ""
        if operation.couples or to.axes is None or not to.starts_with_samples:
            module = running_module(self.during.names)
        run, on_patches, out_of_place = known.run, known.on_patches, known.out_of_place
        named = result.node, _title(func), module
        self.steps.append(Step(operation, run, on_patches, operands, *named, out_of_place))
        if known.aliases:
            self._memory[result.node] = self._memory[operands[0]]
        return result

    def _find(self, call: Call, dtype: torch.dtype | None, in_place: Call | None) -> Known:
        """Find what is known of an operation whose result is cast to ``dtype``, if any is given."""
        operation = operation_of(call)
        if operation.mixes:
            raise _RefusedError(operation.mixes)
        run, on_patches = operation.run or call.bound(), operation.on_patches
        shape = [shape_of(operation.layout, 0)] if operation.shaped else []
        probe = _first(self._on_probes(run, call.tensors, *shape))
        if dtype is not None and probe.dtype != dtype:
            run, on_patches, probe = partial(_cast, run, dtype), None, probe.to(dtype)
        out_of_place = None
        if operation.run is None and in_place is not None:
            run, out_of_place = in_place.bound(), run
        returns = call.operation._schema.returns
        views = operation.shaped or bool(returns and returns[0].alias_info)
        node = Node(operation.layout, self.axes)
        return Known(
            operation, run, on_patches or run, out_of_place, _as_in_memory(probe, call), node,
            aliases=in_place is not None or views,
        )  # fmt: skip

    def _check(
        self, tensors: Sequence[Any], operands: Sequence[int], output: int, what: str
    ) -> None:
        """Note why a result's gradient is not that of the operations that lead to it."""
        region = running_region() or self._function_before(tensors)
        if region is not None:
            self._refused[output] = self.refusal(*region)
        elif any(node in self._stale for node in operands if node >= 0):
            self._refused[output] = self.refusal(what, STALE)

    def _function_before(self, tensors: Sequence[Any]) -> Region | None:
        for tensor in tensors:
            function = None
            if isinstance(tensor, Recorded):
                function = function_of(tensor)
            elif not self.computes and not tensor.is_leaf:
                # Looked for in trials alone: what it was computed from may be much.
                function = function_behind(tensor)
            if function is not None:
                return function
        return None

    def _tensor(self, tensor: Tensor) -> int:
        number = next((i for i, (known, _) in enumerate(self._met) if known is tensor), None)
        if number is None:
            number = len(self._met)
            self._met.append((tensor, _version(tensor)))
        return number

    def _new(self, probe: Tensor, node: Node) -> Recorded:
        number = len(self.nodes)
        self.nodes.append(node)
        self._memory.append(number)
        return Recorded(self, number, probe, self.samples, node.layout)

    def _give(self, value: Tensor | None, probe: Tensor, along: Layout) -> Recorded:
        given = self._new(probe, Node(along, self.axes))
        self._given.append(given.node)
        if value is not None:
            self.values[given.node] = value
        return given

    def _unusable(self, like: Any, func: Any, why: str) -> Recorded:
        """Give a stand-in for what is refused if anything is made of it."""
        result = self._new(like.probe, Node(like.along, self.axes))
        self._refused[result.node] = self.refusal(_title(func), why)
        self._stale.add(result.node)
        return result

    # Once it has ended.

    @property
    def content(self) -> tuple[Any, ...]:
        """Give all that decides on how this is split, to be compared with another one's."""
        return tuple(self.steps), tuple(self.nodes), tuple(self._memory), set(self.values)

    def share_memory(self, a: int, b: int) -> bool:
        """Say whether two nodes may lie in the same memory."""
        return self._memory[a] == self._memory[b]

    @property
    def tensors(self) -> list[Tensor]:
        """Give the real tensors that were met."""
        return [tensor for tensor, _ in self._met]

    def steps_to(self, outputs: Iterable[int]) -> list[Step]:
        """Give the steps that nodes are computed by from what was given."""
        needed, kept = set(outputs), list[Step]()
        for step in reversed(self.steps):
            if step.output in needed:
                kept.append(step)
                needed |= set(step.inputs)
        return kept[::-1]

    def check_steps_to(self, outputs: Iterable[int]) -> None:
        """Look at the steps that nodes are computed by.

        Raises:
            InexactError: if their gradient is not that of the steps, and they have one; if a tensor
                that a step takes has changed since.
        """
        kept = self.steps_to(outputs)
        needed = {*outputs, *(node for step in kept for node in step.inputs)}
        changed = {i for i, (tensor, then) in enumerate(self._met) if _version(tensor) != then}
        for step in kept if changed else ():
            if not changed.isdisjoint(step.taken):
                why = "a tensor that it takes is changed in place before its mask is met"
                raise self.refusal(step.name, why)
        if torch.is_grad_enabled():
            for node in sorted(needed & set(self._refused)):
                raise self._refused[node]

    def check_end(self, output: Recorded) -> None:
        """Raise InexactError if no stage can end at ``output``."""
        region = running_region()
        if in_function() and region is not None:
            raise self.refusal(*region)
        if region is None and checkpoints_running() > self._checkpoints:
            why = "a mask lies in what it runs again, where nothing can be recorded"
            raise self.refusal("torch.utils.checkpoint", why)
        node = self.node_of(output)
        if node in self._stale:
            raise self.refusal("a mask", STALE)
        self.check_steps_to([node])
        function = function_of(output) if torch.is_grad_enabled() else None
        if function is not None:
            raise self.refusal(*function)
        if not self.nodes[node].starts_with_samples:
            step = next(step for step in self.steps if step.output == node)
            why = "a mask follows, and the samples do not lie along its first dim"
            raise InexactError(step.name, step.module, why)

    def value(self, x: Recorded) -> Tensor:
        """Give the value of a node, with its graph."""
        self.check_output(x)
        with torch.enable_grad():
            self.compute([x.node])
        return self.values[x.node]

    def check_output(self, x: Recorded) -> None:
        """Raise InexactError if a node's gradient is not that of the steps that lead to it."""
        if x.node in self._stale:
            raise self._refused.get(x.node) or self.refusal("a feature map", STALE)
        with torch.enable_grad():
            self.check_steps_to([x.node])
            function = function_of(x)
        if function is not None:
            raise self.refusal(*function)

    def compute(self, outputs: Iterable[int]) -> None:
        """Compute the values of nodes, with their graph if gradients are enabled."""
        wanted = [node for node in outputs if node not in self.values]
        self.run(self.steps_to(wanted), wanted)

    def run(self, steps: Sequence[Step], wanted: Iterable[int]) -> None:
        """Run steps, and keep the values of the nodes that are wanted."""
        values = dict(self.values)
        steps = freeing(steps, {*wanted, *self.values})
        with without_autocast(self.device):
            run_steps(steps, self.nodes, values, self.tensors, self.samples)
        self.values.update((node, values[node]) for node in wanted)


never_compile(Recording.__init__)


class _RefusedError(Exception):
    """An operation that a stage cannot hold, with the reason."""


@cache  # as all that follows, for reading a schema is slow
def _title(func: Any) -> str:
    """Give an operation's name as it is called."""
    return str(func._schema.name).replace("::", ".").removesuffix("_")


def _layout_of(value: Any) -> Layout | None:
    return value.along if isinstance(value, Recorded) else None


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _first(out: Any) -> Any:
    return outputs_of(out)[0]


def _cast(run: Callable[..., Any], dtype: torch.dtype, *tensors: Any) -> Tensor:
    out: Tensor = run(*tensors)
    return out.to(dtype)


def _probes(args: Sequence[Any]) -> list[Any]:
    return [getattr(value, "probe", value) for value in args]


@cache
def _random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


@cache
def _in_place(func: Any) -> bool:
    return bool(func._schema.name.endswith("_"))


@cache
def _returned(func: Any) -> int:
    return len(func._schema.returns)


@cache
def _functional(func: Any) -> tuple[Any, list[str]]:
    """Give the operation that does out of place what one does in place, and its arguments' names.

    Raises:
        _RefusedError: if there is none.
    """
    name = func._schema.name.split("::", 1)[-1].removesuffix("_")
    packet = getattr(torch.ops.aten, name, None)
    overload = getattr(packet, func._overloadname, None)
    if overload is None or func.namespace != "aten":
        raise _RefusedError("it changes a tensor in place, and has no rule for that")
    return overload, [argument.name for argument in overload._schema.arguments]


def _as_in_memory(probe: Tensor, call: Call) -> Tensor:
    """Put a probe in the order in memory that a tensor with samples would have."""
    if call.name not in ("convolution", "max_pool2d_with_indices", "avg_pool2d") or probe.ndim != 4:
        return probe
    met = [getattr(tensor, "probe", tensor) for tensor in call.tensors]
    if any(x.ndim == 4 and x.shape[1] > 1 and x.stride(1) == 1 for x in met):
        return probe.contiguous(memory_format=torch.channels_last)
    return probe
