"""What leads round a mask: run densely, and the survivors' stage begins where it has left.

A skip connection takes a feature map from before a mask to behind it, where its gradient is whole.
What leads to it is run as without survivors, with a graph. So is what comes after it, up to the
first feature map that all the rest depends on alone: the stage of the mask begins there.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from backdrop.survivors.recording import Recording
from backdrop.survivors.stage import Stage, Step, freeing


class Split(NamedTuple):
    """A recording in two: what is run densely, and the stage that is run on survivors.

    Attributes:
        dense: the steps that are run with a graph.
        wanted: the nodes whose values these are to give.
        start: the node that is the stage's input.
        stage: the stage.
        taken: the numbers of the real tensors that it takes.
    """

    dense: list[Step]
    wanted: set[int]
    start: int
    stage: Stage
    taken: list[int]


def split(recording: Recording, output: int, escapes: Collection[int]) -> Split:
    """Split what leads to ``output``, given the nodes that are used after the mask as well."""
    all_steps = recording.steps_to([output])
    outside = recording.steps_to(escapes)
    numbers = {step.output for step in outside}
    rest = [step for step in all_steps if step.output not in numbers]
    cut, start = _cut(recording, rest, output)
    dense = sorted([*outside, *rest[:cut]], key=lambda step: step.output)
    wanted = {node for node in (*escapes, start) if node not in recording.values}
    stage, taken = _stage(recording, rest[cut:], start, output)
    return Split(dense, wanted, start, stage, taken)


def _cut(recording: Recording, steps: list[Step], output: int) -> tuple[int, int]:
    """Give how many steps to leave out, for the rest to depend on a single map, and that."""
    for cut in range(len(steps)):
        made = {step.output for step in steps[cut:]}
        taken = {node for step in steps[cut:] for node in step.inputs} - made
        if len(taken) == 1:
            (start,) = taken
            if recording.nodes[start].starts_with_samples:
                return cut, start
    return len(steps), output


def _leaving(recording: Recording, start: int, step: Step) -> Step:
    """Give a step that leaves a stage's input as it is, which is kept for the backward pass."""
    function = step.out_of_place
    if function is None or not recording.share_memory(start, step.output):
        return step
    return replace(step, run=function, on_patches=function, out_of_place=None)


def _stage(
    recording: Recording, steps: list[Step], start: int, output: int
) -> tuple[Stage, list[int]]:
    """Give a stage with node 0 as its input, and the numbers of the real tensors that it takes."""
    order = [start, *(step.output for step in steps)]
    number = {node: i for i, node in enumerate(order)}
    used = sorted({i for step in steps for i in step.taken})
    number |= {~i: ~new for new, i in enumerate(used)}
    renamed = [
        replace(
            _leaving(recording, start, step),
            operands=tuple(number[i] for i in step.operands),
            output=number[step.output],
        )
        for step in steps
    ]
    nodes = tuple(recording.nodes[node] for node in order)
    kept = freeing(renamed, [number[output]])
    return Stage(nodes, kept, number[output]), used
