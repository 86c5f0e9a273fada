"""Conductance: what each unit of a layer contributes to a prediction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from backdrop.arguments import checked_integer, checked_names, checked_number
from backdrop.module_names import find_module
from backdrop.placement import uncompiled


def conductances(
    model: nn.Module,
    layers: Sequence[str],
    inputs: Tensor,
    targets: Tensor,
    baseline: Tensor | None = None,
    n: int = 5,
) -> dict[str, Tensor]:
    r"""Give the conductance of every unit of ``layers``, for every sample.

    Along the straight path :math:`x_i = x_0 + (x - x_0)\, i/n` from a baseline to the input,

    .. math:: Y_k = \sum_{i=0}^{n-1} \frac{\partial F(x_i)}{\partial h_k}
        \bigl(h_k(x_{i+1}) - h_k(x_i)\bigr),

    with h the output of the layer and F the logit of the true class. For a model with one score a
    sample, (N,) or (N, 1), and targets 0 and 1, F is the score for 1 and its negative for 0. Where
    all of F passes through a layer, its conductances sum to :math:`F(x) - F(x_0)` as n grows. From
    Dhamdhere, Sundararajan & Yan, How Important Is a Neuron?, arXiv:1805.12233; the sum is the one
    of captum's ``LayerConductance`` with ``method="riemann_trapezoid"``.

    The model runs once, on all points of the path, in eval mode; its modes, parameters, gradients
    and statistics stay as they are, and no random numbers are used. A compiled model runs without
    its compiled code.

    Args:
        model: any model that treats samples, along dim 0, independently in eval mode.
        layers: names of modules, as in ``model.named_modules()``, that return a single tensor and
            run once in a forward pass.
        inputs: (N, ...), of floating point.
        targets: (N,), classes for logits (N, C), or 0 and 1 for scores (N,) or (N, 1).
        baseline: where the path begins; of a shape that broadcasts to that of ``inputs``. By
            default zero.
        n: the number of steps on the path.

    Returns:
        For each name a tensor of the shape of the layer's output, (N, units) for a linear layer;
        in float32 or better.

    Raises:
        KeyError: if the model has no module of a name in ``layers``.
        TypeError: if ``inputs`` are not of floating point, or ``layers`` is a string.
        ValueError: if ``n`` is below 1, ``layers`` is empty, one of them does not run once,
            targets or outputs have another shape, or a target is no class of the model.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
        >>> for weights in model.parameters():
        ...     _ = nn.init.ones_(weights)
        >>> conductances(model, ["0"], torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
        {'0': tensor([[3., 3.]])}
    """
    n = checked_integer("n", n, 1)
    layers = checked_names("layers", layers)
    if not inputs.is_floating_point():
        raise TypeError(f"a path needs inputs of floating point, got {inputs.dtype}")
    if targets.shape != inputs.shape[:1]:
        raise ValueError(
            f"targets must have the shape ({len(inputs)},), got {tuple(targets.shape)}"
        )
    model = uncompiled(model)
    modules = {name: find_module(model, name) for name in layers}
    path = _path(inputs.detach(), baseline, n)
    with (
        torch.enable_grad(),
        torch.compiler.set_stance("force_eager"),
        _eval_mode(model),
        _outputs(modules) as outputs,
    ):
        logits = model(path.requires_grad_())
        score = _true_class(logits, targets.repeat(n + 1)).sum()
    for name in layers:
        if name not in outputs or len(outputs[name]) % len(path):
            raise ValueError(
                f"module {name!r} must run in a forward pass, and give samples along dim 0"
            )
    gradients = torch.autograd.grad(
        score, [outputs[name] for name in layers], materialize_grads=True
    )
    return {
        name: _sum_over_path(gradient, outputs[name].detach(), n)
        for name, gradient in zip(layers, gradients, strict=True)
    }


def high_conductance_share(conductance: Tensor, threshold: float = 0.1) -> float:
    """Give the share of units whose conductance is at least ``threshold`` times the highest.

    With one number a unit, such as the mean over samples, this says how many of a layer's units
    a prediction rests on: 1/units if on one alone, 1 if on all alike. It is 0 where no conductance
    is positive. The measure and the threshold are ours: how the Y-Drop paper counts units of high
    conductance is unknown.

    Raises:
        TypeError: if ``threshold`` is not a number.
        ValueError: if it lies outside (0, 1], or ``conductance`` is not of the shape (units,).

    Example:
        >>> high_conductance_share(torch.tensor([4.0, 1.0, 0.1, -2.0]))
        0.5
    """
    threshold = checked_number("threshold", threshold, "(0, 1]")
    if conductance.ndim != 1 or not len(conductance):
        raise ValueError(f"one number for each unit is needed, got {tuple(conductance.shape)}")
    high = (conductance >= threshold * conductance.max()) & (conductance > 0)
    return float(high.double().mean())


def _path(inputs: Tensor, baseline: Tensor | None, n: int) -> Tensor:
    """Give the n + 1 points from the baselines to the inputs, stacked along dim 0."""
    start = torch.zeros_like(inputs) if baseline is None else baseline.detach().to(inputs)
    try:
        start = start.expand_as(inputs)
    except RuntimeError:
        raise ValueError(
            f"a baseline of shape {tuple(start.shape)} does not broadcast to the inputs' shape "
            f"{tuple(inputs.shape)}"
        ) from None
    part = torch.linspace(0, 1, n + 1, dtype=inputs.dtype, device=inputs.device)
    return (start + part.view(-1, *[1] * inputs.ndim) * (inputs - start)).flatten(0, 1)


def _true_class(logits: Any, targets: Tensor) -> Tensor:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.ndim > 2 or logits.shape[:1] != targets.shape:
        raise ValueError(
            f"the model must return logits (N, C) or scores (N,), N = {len(targets)}, got {shape}"
        )
    if logits.shape[1:] in ((), (1,)):
        return logits.flatten() * (2 * _classes(targets, 2).to(logits.dtype) - 1)
    return logits.gather(1, _classes(targets, logits.shape[1]).unsqueeze(1))


def _classes(targets: Tensor, count: int) -> Tensor:
    """Give targets of whatever dtype as int64, or raise ValueError if one is no class."""
    classes = targets.long()
    wrong = (classes.to(targets.dtype) != targets) | (classes < 0) | (classes >= count)
    if wrong.any():
        raise ValueError(
            f"targets must be classes from 0 to {count - 1}, got {targets[wrong][0].item()}"
        )
    return classes


def _sum_over_path(gradient: Tensor, output: Tensor, n: int) -> Tensor:
    dtype = torch.promote_types(output.dtype, torch.float32)
    points = (n + 1, len(output) // (n + 1), *output.shape[1:])
    change = output.to(dtype).reshape(points).diff(dim=0)
    return (gradient.to(dtype).reshape(points)[:-1] * change).sum(0)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _outputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> Tensor:
        if name in outputs or not isinstance(output, Tensor):
            raise ValueError(f"module {name!r} must run once and return a single tensor")
        outputs[name] = output
        return output.clone()  # which an in-place activation may change

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name, module in modules.items()
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
