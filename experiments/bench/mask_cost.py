"""The masks alone, forward and backward, beside the step that they are part of."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from backdrop.placement import placed_layers
from experiments.bench.steps import batch_of, built, settings_of, step_of
from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import alternating
from experiments.build import Parts
from experiments.identity import Settings
from experiments.precision import autocast

RUNS = {
    "textures/laptop": "two-scale masks",
    "cifar/laptop": "fine",
    "auc/digits_updates": "sample masks",
}


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare, on each task of the paper, its masks alone with its step."""
    for experiment, kind in RUNS.items():
        small = ("batch_size=4",) if setting.smoke else ()
        settings = settings_of(experiment, kind, setting, *small)
        parts = built(settings)
        variants = {"step": step_of(settings, parts), "masks alone": _masks(settings, parts)}
        times = alternating(variants, setting.seconds, setting.fewest, device=setting.device)
        yield rows("mask_cost", experiment, times, baseline="step")


def _masks(settings: Settings, parts: Parts) -> Callable[[], object]:
    """Give a function that draws and applies every mask to a map like the one it gets."""
    seen: list[Tensor] = []
    layers = [layer for _, _, layer in placed_layers(parts.model)]
    inputs, _ = batch_of(settings, parts)
    hooks = [m.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for m in layers]
    with autocast(settings):
        parts.model(inputs)
    for hook in hooks:
        hook.remove()
    maps = [x.detach().requires_grad_() for x in seen]
    gradients = [torch.randn_like(x) for x in maps]

    def run() -> None:
        for layer, x, gradient in zip(layers, maps, gradients, strict=True):
            torch.autograd.grad(layer(x), x, gradient)

    return run
