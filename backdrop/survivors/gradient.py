"""The gradient of a stage, computed from the survivors of the masks above it alone."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from backdrop.survivors.bands import Bands, run_without_graph, too_large
from backdrop.survivors.patches import Patches
from backdrop.survivors.stage import Stage
from backdrop.survivors.work import work_on


def survivors_only(
    stage: Stage, patches: Patches | None, x: Tensor, tensors: Sequence[Tensor], mask: Tensor
) -> Tensor:
    """Run a stage without a graph; the backward pass runs it again where a gradient arrives.

    Args:
        stage: the stage, whose output goes through ``mask`` and nowhere else.
        patches: the stage's patches; None if only whole samples can be run again.
        x: its input (N, …).
        tensors: the real tensors that its operations take.
        mask: that which masks the gradient of its output, with as many dims, each of size 1 or the
            output's; samples without survivors are not kept.

    Returns:
        The output of the stage, whose gradients are those of the dense computation to rounding.

    Raises:
        RuntimeError: in the backward pass, under ``create_graph=True``.
    """
    kept: Tensor | None = None
    if len(mask) == len(x):
        alive = (mask != 0).unsqueeze(-1).flatten(1).any(1)
        kept = alive.nonzero().flatten()
        kept = None if len(kept) == len(x) else kept
    y: Tensor = _SurvivorsOnly.apply(stage, patches, kept, x, *tensors)
    return y


class _SurvivorsOnly(torch.autograd.Function):
    """Keeps the input of a stage and nothing else."""

    @staticmethod
    def forward(
        ctx: Any,
        stage: Stage,
        patches: Patches | None,
        kept: Tensor | None,
        x: Tensor,
        *rest: Tensor,
    ) -> Tensor:
        ctx.stage, ctx.patches, ctx.kept, ctx.shape = stage, patches, kept, x.shape
        ctx.save_for_backward(x if kept is None else x.index_select(0, kept), *rest)
        return run_without_graph(stage, patches, x, rest)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        # What is run again below is cut off from the graph: differentiated once more, it would
        # silently give zero.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "survivors has no second derivatives: differentiate without create_graph=True, or "
                "remove() it"
            )
        x, *tensors = ctx.saved_tensors
        needs_x, *needs = ctx.needs_input_grad[3:]
        gradients = _Gradients(x, tensors, needs_x, needs)
        if ctx.kept is not None:
            grad = grad.index_select(0, ctx.kept)
        _differentiate(ctx.stage, ctx.patches, grad, gradients)
        of_x = gradients.of_x
        if of_x is not None and ctx.kept is not None:
            of_x = of_x.new_zeros(ctx.shape).index_copy_(0, ctx.kept, of_x)
        return None, None, None, of_x, *gradients.of_tensors


class _Gradients:
    """Sums of gradients over parts of a stage's input, in float32 or better."""

    def __init__(
        self, x: Tensor, tensors: Sequence[Tensor], needs_x: bool, needs: Sequence[bool]
    ) -> None:
        self.x, self.needs_x = x, needs_x
        self.leaves = [t.detach().requires_grad_(n) for t, n in zip(tensors, needs, strict=True)]
        self._of_x = torch.zeros_like(x, dtype=_wide(x)) if needs_x else None
        self._of_leaves: dict[int, Tensor] = {}

    def add(self, run: Callable[[Tensor], Tensor], part: Tensor, grad: Tensor) -> Tensor | None:
        """Differentiate ``run(part)``, given the gradient of its elements.

        Returns:
            The gradient of the part, if it is needed.
        """
        with torch.enable_grad():
            part = part.detach().requires_grad_(self.needs_x)
            y = run(part)
        if grad.shape != y.shape:  # those of single positions
            grad = grad.reshape(y.shape)
        wanted = {i: leaf for i, leaf in enumerate(self.leaves) if leaf.requires_grad}
        inputs = [*wanted.values(), *([part] if self.needs_x else [])]
        if not (inputs and y.requires_grad):
            return None
        found = torch.autograd.grad(y, inputs, grad.to(y.dtype), allow_unused=True)
        for i, value in zip(wanted, found, strict=False):
            if value is not None and i in self._of_leaves:
                self._of_leaves[i] += value
            elif value is not None:
                # A copy: autograd may give one tensor as the gradient of several leaves.
                self._of_leaves[i] = value.to(_wide(value), copy=True)
        return found[-1] if self.needs_x else None

    def add_samples(self, samples: Tensor, of_part: Tensor | None) -> None:
        """Add the gradient of whole samples of the input."""
        if self._of_x is not None and of_part is not None:
            self._of_x.index_add_(0, samples, of_part.to(self._of_x.dtype))

    def add_rows(self, sample: int, first: int, of_part: Tensor | None) -> None:
        """Add the gradient of rows (1, C, rows, …) of a sample of the input, from ``first`` on."""
        if self._of_x is not None and of_part is not None:
            self._of_x[sample].narrow(1, first, of_part.shape[2]).add_(of_part[0])

    def add_patches(self, index: tuple[Tensor, ...], of_part: Tensor | None) -> None:
        """Add the gradient of patches (n, C, …) of the input at indices of its positions."""
        if self._of_x is not None and of_part is not None:
            of_part = of_part.movedim(1, -1).to(self._of_x.dtype)
            self._of_x.movedim(1, -1).index_put_(index, of_part, accumulate=True)

    @property
    def of_x(self) -> Tensor | None:
        """Give the gradient of the stage's input."""
        return None if self._of_x is None else self._of_x.to(self.x.dtype)

    @property
    def of_tensors(self) -> list[Tensor | None]:
        """Give the gradients of the real tensors: zero where nothing survived."""
        return [
            (self._of_leaves[i].to(leaf.dtype) if i in self._of_leaves else torch.zeros_like(leaf))
            if leaf.requires_grad
            else None
            for i, leaf in enumerate(self.leaves)
        ]


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _differentiate(
    stage: Stage, patches: Patches | None, grad: Tensor, gradients: _Gradients
) -> None:
    """Add up the gradients of all samples: of whole ones, or of patches where that is less work."""
    axes = stage.nodes[stage.output].axes if patches else ()
    rest = [dim for dim in range(1, grad.ndim) if dim not in (axes or ())]
    by_position = grad.permute(0, *(axes or ()), *rest)
    alive = by_position != 0
    if rest:
        alive = alive.any(tuple(range(grad.ndim - len(rest), grad.ndim)))
    counts = alive.flatten(1).sum(1) if alive.ndim > 1 else alive.long()
    # One sample is worth so many patches; without patches, any survivor asks for the sample.
    worth = 1.0 if patches is None else _worth(stage, patches, gradients)
    whole = (counts >= worth).nonzero().flatten()
    elements = sum(stage.nodes[step.output].numel for step in stage.steps)
    if patches is not None and too_large(elements, grad.device):
        _add_bands(Bands(stage, elements, grad.device), grad, gradients, whole)
    else:
        _add_whole(stage, grad, gradients, whole)
    if patches is not None:
        alive[whole] = False
        _add_patches(patches, by_position, alive, gradients)


def _worth(stage: Stage, patches: Patches, gradients: _Gradients) -> float:
    needs = [leaf.requires_grad for leaf in gradients.leaves]
    sample = work_on(stage, [node.numel for node in stage.nodes], needs, gradients.needs_x)
    patch = work_on(stage, patches.sizes, needs, gradients.needs_x)
    return (sample.forward + sample.backward) / (patch.forward + patch.backward)


def _add_whole(stage: Stage, grad: Tensor, gradients: _Gradients, samples: Tensor) -> None:
    size = stage.chunk(sum(stage.nodes[step.output].numel for step in stage.steps), grad.device)
    run = partial(stage.run, tensors=gradients.leaves)
    for chunk in samples.split(size) if len(samples) else ():  # type: ignore[no-untyped-call]
        part, of_output = gradients.x.index_select(0, chunk), grad.index_select(0, chunk)
        gradients.add_samples(chunk, gradients.add(run, part, of_output))


def _add_bands(bands: Bands, grad: Tensor, gradients: _Gradients, samples: Tensor) -> None:
    for sample in samples.tolist():
        for band in bands:
            of_output = grad[sample : sample + 1].narrow(bands.axis, band.start, bands.rows).clone()
            of_output.narrow(bands.axis, 0, band.overlap).zero_()
            part = gradients.x[sample : sample + 1].narrow(2, band.first, band.length)
            run = partial(bands.run, band, tensors=gradients.leaves)
            gradients.add_rows(sample, band.first, gradients.add(run, part, of_output))


def _add_patches(patches: Patches, grad: Tensor, alive: Tensor, gradients: _Gradients) -> None:
    stage = patches.stage
    size = stage.chunk(sum(patches.numel(step.output) for step in stage.steps), grad.device)
    places = alive.nonzero()
    inside = patches.inside(places[:, 1:])
    for at_border, group in ((False, places[inside]), (True, places[~inside])):
        for chunk in group.split(size) if len(group) else ():  # type: ignore[no-untyped-call]
            sample, positions = chunk[:, 0], chunk[:, 1:]
            index = _grid(sample, patches.indices(positions))
            border = positions if at_border else None
            run = partial(patches.run, tensors=gradients.leaves, positions=border)
            part = gradients.x.movedim(1, -1)[index].movedim(-1, 1)
            gradients.add_patches(index, gradients.add(run, part, grad[tuple(chunk.T)]))


def _grid(sample: Tensor, along: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Give an index of (n, *lengths) positions from one of (n, length) for each axis."""
    n = len(along)
    grid = [
        index.view(len(index), *(-1 if axis == j else 1 for j in range(n)))
        for axis, index in enumerate(along)
    ]
    return sample.view(-1, *(1,) * n), *grid
