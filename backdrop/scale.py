"""Find the module of a model that sees structures of a size in pixels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from backdrop.placement import uncompiled
from backdrop.receptive_field import trace_fields


@dataclass(frozen=True)
class Site:
    """A module with the receptive field and the stride of its output, in pixels per dim."""

    name: str
    size: tuple[int, ...]
    stride: tuple[float, ...]


def module_at_scale(model: nn.Module, input_shape: Sequence[int], pixels: float) -> Site:
    """Find the module whose receptive field is nearest to ``pixels`` along every spatial dim.

    Of modules equally near, it is the outermost, so that blocks come before the branches in them,
    and of these the one that finishes last, as the activation after a convolution. Only modules
    that run once in a forward pass and return a feature map with positions are considered.

    Args:
        model: any model that :func:`~backdrop.receptive_field` can analyse; of a compiled one, the
            name is that in the model that was compiled, as :func:`~backdrop.place` takes it.
        input_shape: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        pixels: the wanted receptive field.

    Raises:
        ValueError: if ``pixels`` is not positive, or no module qualifies.
        NotImplementedError: if the model cannot be analysed.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2))
        >>> module_at_scale(model, (1, 3, 64, 64), pixels=6)
        Site(name='1', size=(5, 5), stride=(2, 2))
    """
    if not pixels > 0:
        raise ValueError(f"pixels must be positive, got {pixels!r}")
    calls = trace_fields(uncompiled(model), input_shape)
    count = Counter(name for name, _ in calls)
    sites = [
        Site(name, field.size, field.stride)
        for name, field in calls
        if name and field.is_map and count[name] == 1
    ]
    if not sites:
        raise ValueError(f"no module of {type(model).__name__} runs once and returns a feature map")

    def rank(site: Site) -> tuple[float, int]:
        return max(abs(size - pixels) for size in site.size), site.name.count(".")

    return min(reversed(sites), key=rank)
