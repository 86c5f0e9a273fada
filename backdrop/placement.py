"""Put layers on named modules of any model, or at a scale in pixels, and take them off again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from backdrop.receptive_field import trace_fields


class _Hook:
    """Passes a module's output through a layer, in the mode that the module is in."""

    def __init__(self, host: nn.Module, name: str, layer: nn.Module) -> None:
        self.name = name
        self.layer = layer
        # The handle travels with copies and pickles of the model. Unpickling it raises the
        # counter of hook numbers, so that hooks added later cannot overwrite this one.
        self.handle: RemovableHandle = host.register_forward_hook(self)

    def __call__(self, host: nn.Module, args: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"module {self.name!r} returns a {type(output).__name__}, but a placed layer takes "
                f"a single tensor: place {type(self.layer).__name__} on a module that returns one"
            )
        if self.layer.training != host.training:
            self.layer.train(host.training)
        result: Tensor = self.layer(output)
        return result


class Placement:
    """Layers that sit on modules of a model until removed; also a context manager.

    Attributes:
        layers: the placed layers by module name.
    """

    def __init__(self, hooks: Mapping[str, _Hook]) -> None:
        self._hooks = dict(hooks)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """Give the placed layers by module name."""
        return {name: hook.layer for name, hook in self._hooks.items()}

    def remove(self) -> None:
        """Take the layers off the model; doing so twice is harmless."""
        for hook in self._hooks.values():
            hook.handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.layers})"


def place(model: nn.Module, layers: Mapping[str, nn.Module]) -> Placement:
    """Pass the outputs of named modules of ``model`` through ``layers``.

    Each layer is applied to every output of its module, by a forward hook: the model's modules,
    their names and its state_dict stay as they are. A layer follows the train or eval mode of its
    module and travels with copies and pickles of the model. A module that is called twice in one
    forward pass has its layer applied twice, with independent random draws.

    Code that ``torch.compile`` made before, at the model's first call, ignores layers placed later:
    place first. Removing them is honoured. To lift the layers off a copy of the model, copy
    ``(model, placement)`` together.

    Args:
        model: any model; of a compiled one, the model that was compiled gets the layers.
        layers: a layer without parameters or buffers for each module name, as in
            ``model.named_modules()``; :class:`~backdrop.Backdrop`, ``nn.Dropout2d`` or any other.

    Returns:
        A handle with the placed ``layers``, and ``remove()``, called by itself at the end of a
        ``with`` block.

    Raises:
        KeyError: if the model has no module of that name.
        TypeError: if a layer is not an ``nn.Module``; later, if the module returns no tensor.
        ValueError: if a layer has parameters or buffers, which the model would neither move nor
            save.

    Example:
        >>> from backdrop import Backdrop
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten())
        >>> with place(model, {"1": Backdrop(0.9, "sample+spatial")}) as placement:
        ...     placement.layers["1"]
        Backdrop(p=0.9, dims=sample+spatial, normalisation=realised)
    """
    model = uncompiled(model)
    hosts = {name: find_module(model, name) for name in layers}
    for name, layer in layers.items():
        if not isinstance(layer, nn.Module):
            raise TypeError(f"the layer for {name!r} must be an nn.Module, got {layer!r}")
        held = [*dict(layer.named_parameters()), *dict(layer.named_buffers())]
        if held:
            raise ValueError(
                f"the layer for {name!r} has parameters or buffers, which the model would neither "
                f"move nor save: {', '.join(held)}"
            )
    return Placement({name: _Hook(hosts[name], name, layer) for name, layer in layers.items()})


def uncompiled(model: nn.Module) -> nn.Module:
    """Give the model that ``torch.compile`` was given, with the names its modules have there."""
    original: nn.Module = getattr(model, "_orig_mod", model)
    return original


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Give the module of that name, as in ``model.named_modules()``.

    Raises:
        KeyError: if there is none, with names that are close.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if name not in modules:
        close = get_close_matches(str(name), list(modules), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise KeyError(
            f"the model has no module {name!r}{hint} (model.named_modules() lists them all)"
        )
    return modules[name]


def placed_layers(model: nn.Module) -> list[tuple[str, nn.Module, nn.Module]]:
    """Give name, module and layer of everything that is placed on a model."""
    return [
        (name, host, layer) for name, host in model.named_modules() for layer in placed_on(host)
    ]


def placed_on(module: nn.Module) -> list[nn.Module]:
    """Give the layers that are placed on one module, in the order in which they are applied."""
    return [hook.layer for hook in module._forward_hooks.values() if isinstance(hook, _Hook)]


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
        model: any model that :func:`~backdrop.receptive_field` can analyse.
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
    calls = trace_fields(model, input_shape)
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
