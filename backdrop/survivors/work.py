"""Decides by a count of operations where a backward pass through survivors is less work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isinf, prod

from torch import Tensor

from backdrop.dims import resolve_dims
from backdrop.layer import Backdrop
from backdrop.survivors.patches import Patches
from backdrop.survivors.stage import Stage

# In multiply-adds: what it costs to read and write an element, and to treat a stage in this way at
# all. Work on patches is dearer than on whole maps by a factor, more so in half precision, which
# makes whole maps quicker. Measured on one processor core; on other devices a stage costs a few
# milliseconds of starting kernels and waiting: an estimate.
ELEMENT = 32
STAGE = {"cpu": 1.5e8, "default": 5e10}
PATCHES, PATCHES_IN_HALF = 1.25, 2.75


@dataclass(frozen=True)
class Work:
    """Multiply-adds forward, and backward for weights and maps."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        """Give those of both ways."""
        return self.forward + self.backward


def work_on(stage: Stage, numel: Sequence[int], needs: Sequence[bool], needs_input: bool) -> Work:
    """Count the operations of a stage.

    Args:
        stage: the stage.
        numel: the number of elements of each node, of one sample or one patch.
        needs: whether each of the stage's real tensors needs a gradient.
        needs_input: whether the stage's input does.
    """
    moving = {0} if needs_input else set()
    forward = backward = 0.0
    for step in stage.steps:
        moved = ELEMENT if step.operation.work else 0
        cost = numel[step.output] * (step.operation.work + moved)
        weights = any(needs[i] for i in step.taken)
        maps = any(node in moving for node in step.inputs)
        if weights or maps:
            moving.add(step.output)
        forward += cost
        backward += cost * (weights + maps)
    return Work(forward, backward)


@dataclass(frozen=True)
class StageWork:
    """What a stage costs, with what it takes to tell how much of it survives.

    Attributes:
        name: of the mask at its end.
        device: the type of the device.
        half: whether its output is in half precision.
        shape: of what is masked, (N, …).
        positions: the number of positions of its output.
        seen_by: the number of these that see one position of its input, on average; infinite where
            gradients arrive there past the mask as well.
        sample, patch: the work on one sample, and on the patch of one position if there are any.
    """

    name: str
    device: str
    half: bool
    shape: tuple[int, ...]
    positions: int
    seen_by: float
    sample: Work
    patch: Work | None


def stage_work(
    name: str, output: Tensor, samples: int, stage: Stage, patches: Patches | None,
    tensors: Sequence[Tensor], needs_input: bool, open_below: bool,
) -> StageWork:  # fmt: skip
    """Count the work on a stage; of its ``output``, the samples may be missing.

    With ``open_below``, gradients arrive below the stage past its mask as well.
    """
    shape = (samples, *output.shape[1:])
    kind = output.device.type, output.dtype.itemsize == 2
    needs = [tensor.requires_grad for tensor in tensors]
    sample = work_on(stage, [node.numel for node in stage.nodes], needs, needs_input)
    if patches is None:
        return StageWork(name, *kind, shape, 1, inf if open_below else 1.0, sample, None)
    sizes = stage.nodes[stage.output].sizes
    seen_by = prod(
        min(reach.length / reach.stride, size)
        for reach, size in zip(patches.reaches[0], sizes, strict=True)
    )
    patch = work_on(stage, patches.sizes, needs, needs_input)
    seen_by = inf if open_below else seen_by
    return StageWork(name, *kind, shape, prod(sizes), seen_by, sample, patch)


def paying(stages: Sequence[StageWork], masks: Mapping[str, Backdrop]) -> dict[str, bool]:
    """Say of which stages it is less work to run them again on the survivors that are expected.

    Without a graph a stage runs forward once as well, so what counts is the rest of the step:
    the dense backward pass on the one hand, running forward and backward again on the other.
    Masks further up thin the survivors out: a position below a stage is alive if any of the
    stage's outputs that see it is.

    Args:
        stages: the stages in the order in which they are run.
        masks: the masks at their ends, by name.
    """
    pays, alive = {}, 1.0
    for stage in reversed(stages):
        samples, positions = _surviving_shares(masks[stage.name], stage.shape)
        positions *= alive
        again = stage.sample.total
        if stage.patch is not None:
            dearer = PATCHES_IN_HALF if stage.half else PATCHES
            again = min(again, positions * stage.positions * stage.patch.total * dearer)
        n, overhead = stage.shape[0], STAGE.get(stage.device, STAGE["default"])
        pays[stage.name] = n * samples * again + overhead < n * stage.sample.backward
        alive = 1.0 if isinf(stage.seen_by) else samples * (1 - (1 - positions) ** stage.seen_by)
    return pays


def _surviving_shares(mask: Backdrop, shape: tuple[int, ...]) -> tuple[float, float]:
    """Give the expected shares of samples, and of positions in them, that a mask lets through."""
    if mask.fixed_mask is not None:
        return 1.0, float((mask.fixed_mask != 0).float().mean())
    return _drawn_shares(mask.p, mask.dims, shape)


@lru_cache(maxsize=1024)  # asked for in every forward pass, and not to be felt in a small one
def _drawn_shares(
    p: float, dims: str | tuple[int, ...], shape: tuple[int, ...]
) -> tuple[float, float]:
    masked = resolve_dims(dims, len(shape))
    if masked == {0}:
        return 1 - p, 1.0
    # A position is masked only if all its channels are.
    return 1.0, 1 - p ** (shape[1] if 1 in masked else 1)
