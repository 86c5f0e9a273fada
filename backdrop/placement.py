"""Put layers on named modules of any model, and take them off again."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from backdrop.module_names import find_modules
from backdrop.never_called import why_never_called
from backdrop.outputs import Element, element_of, replaced

Key = TypeVar("Key", bound=str | type[nn.Module])
Layer = TypeVar("Layer", bound=nn.Module)


class _PythonHook:
    """A hook that only Python can run."""

    handle: RemovableHandle

    @property
    def __name__(self) -> str:
        # What torch.jit.script asks of a hook first, and hardly anything else does.
        raise AttributeError("torch.jit cannot script a model with placed layers: remove() them")


class _Hook(_PythonHook, Generic[Layer]):
    """Passes a module's output through a layer, in the mode that the module is in."""

    def __init__(self, host: nn.Module, name: str, layer: Layer) -> None:
        self.name = name
        self.layer = layer
        self.drawn = False
        self.element: Element | None = None
        # The handle travels with copies and pickles of the model. Unpickling it raises the
        # counter of hook numbers, so that hooks added later cannot overwrite this one.
        self.handle = host.register_forward_hook(self)

    def __call__(self, host: nn.Module, args: Any, output: Any) -> Any:
        if self.layer.training != host.training:
            self.layer.train(host.training)
        if isinstance(output, fx.Proxy):
            return self._traced(output)
        if host.training:
            self.drawn = True
        if isinstance(output, Tensor):
            return self.layer(output)
        try:
            element = element_of(output)
        except TypeError as found:
            raise TypeError(
                f"module {self.name!r} returns {found}, but a placed layer takes a tensor, alone "
                "or in a tuple, list or mapping: place "
                f"{type(self.layer).__name__} on a module that returns one"
            ) from None
        self.element = element
        return replaced(output, element, self.layer)

    def _traced(self, output: fx.Proxy) -> Any:
        """Give the node of a graph for the layer, which that graph cannot call as a module."""
        with suppress(NameError):  # a module within the layer
            if not self.layer.training:
                return self.layer.forward(output)
        raise RuntimeError(
            f"torch.fx cannot trace the {type(self.layer).__name__} placed on module {self.name!r}"
            f"{' in training mode' if self.layer.training else ''}: trace first and place on the "
            "modules of the graph, or remove() it"
        )


class _FirstPass(_PythonHook):
    """Warns after the first training pass of a model of layers that have not been run in it."""

    def __init__(self, model: nn.Module, hooks: Sequence[_Hook[Any]]) -> None:
        self.hooks = hooks
        self.handle = model.register_forward_hook(self)

    def __call__(self, model: nn.Module, args: Any, output: Any) -> None:
        if not model.training or torch.compiler.is_compiling():
            return
        self.handle.remove()
        idle = [hook.name for hook in self.hooks if not hook.drawn]
        if idle:
            warnings.warn(
                "the first forward pass in training mode has not run the layers placed on "
                f"{', '.join(map(repr, idle))}: these modules were not called, or are in eval mode "
                "(placement.drawn says which layers have run since)",
                stacklevel=2,
            )


class Placement(Generic[Layer]):
    """Layers that sit on modules of a model until removed; also a context manager."""

    def __init__(self, model: nn.Module, layers: Mapping[str, Layer]) -> None:
        self._hooks = {
            name: _Hook(model.get_submodule(name), name, layer) for name, layer in layers.items()
        }
        self._first_pass = _FirstPass(model, list(self._hooks.values()))

    @property
    def layers(self) -> dict[str, Layer]:
        """Give the placed layers by module name."""
        return {name: hook.layer for name, hook in self._hooks.items()}

    @property
    def drawn(self) -> dict[str, bool]:
        """Say for each module name whether its layer has run in training mode since placed.

        To be looked at after the first training step: what is False then has masked nothing, since
        the model does not call that module, or it is in eval mode, as a frozen normalisation.
        """
        return {name: hook.drawn for name, hook in self._hooks.items()}

    @property
    def elements(self) -> dict[str, Element]:
        """Give the index or key of what is masked, where a module was seen to return several."""
        return {
            name: hook.element for name, hook in self._hooks.items() if hook.element is not None
        }

    def remove(self) -> None:
        """Take the layers off the model; doing so twice is harmless."""
        for hook in (*self._hooks.values(), self._first_pass):
            hook.handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        elements = "".join(f", element {e!r} of {name!r}" for name, e in self.elements.items())
        return f"{type(self).__name__}({self.layers}{elements})"


def place(model: nn.Module, layers: Mapping[Key, Layer]) -> Placement[Layer]:
    """Pass the outputs of modules of ``model`` through ``layers``.

    Each layer is applied to every output of its module, by a forward hook: the model's modules,
    their names and its state_dict stay as they are. A layer follows the train or eval mode of its
    module and travels with copies and pickles of the model. A module that is called twice in one
    forward pass has its layer applied twice, with independent random draws.

    Of a tuple, list, dict or output of Hugging Face's models, the layer takes the first
    floating-point tensor that has dims; the placement's ``elements``, and its printed form, say
    which one that was. The others pass by it, gradients too.

    Modules that never run are refused where the model shows it: containers, the projections of
    ``nn.MultiheadAttention``, blocks that a graph of ``torch.fx`` has dissolved; so are modules in
    eval mode within a model in training mode, where a layer would be inert. What only a forward
    pass shows is a warning after the first one in training mode, and in the placement's ``drawn``.

    Code that ``torch.compile`` made before, at the model's first call, ignores layers placed later:
    place first. Removing them is honoured. To lift the layers off a copy of the model, copy
    ``(model, placement)`` together.

    Args:
        model: any model; of a compiled one, the model that was compiled gets the layers.
        layers: a layer without parameters or buffers for each module name, as in
            ``model.named_modules()``; :class:`~backdrop.Backdrop`, ``nn.Dropout2d`` or any other.
            In place of a name also a pattern, in which ``*``, ``?`` and ``[…]`` stand for
            characters between two dots, or a type of modules: each module that is meant gets a
            copy of the layer, with the same generator if it has one.

    Returns:
        A handle with the placed ``layers``, and ``remove()``, called by itself at the end of a
        ``with`` block.

    Raises:
        KeyError: if the model has no module of that name, pattern or type.
        TypeError: if a layer is not an ``nn.Module``; later, if the module returns no tensor.
        ValueError: if a layer has parameters or buffers, which the model would neither move nor
            save, if it would never act, or if two keys mean one module.

    Example:
        >>> from backdrop import Backdrop
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten())
        >>> with place(model, {"1": Backdrop(0.9, "sample+spatial")}) as placement:
        ...     placement.layers["1"]
        Backdrop(p=0.9, dims=sample+spatial, normalisation=realised)
        >>> list(place(model, {nn.Conv2d: Backdrop(0.5)}).layers)
        ['0']
    """
    model = uncompiled(model)
    placed: dict[str, Layer] = {}
    for key, layer in layers.items():
        _check_layer(key, layer)
        for name, host in find_modules(model, key).items():
            if name in placed:
                raise ValueError(f"module {name!r} is named twice, the second time by {key!r}")
            _check_host(model, name, host)
            placed[name] = layer if name == key else _copied(layer)
    return Placement(model, placed)


def _check_layer(key: object, layer: nn.Module) -> None:
    if not isinstance(layer, nn.Module):
        raise TypeError(f"the layer for {key!r} must be an nn.Module, got {layer!r}")
    held = [*dict(layer.named_parameters()), *dict(layer.named_buffers())]
    if held:
        raise ValueError(
            f"the layer for {key!r} has parameters or buffers, which the model would neither "
            f"move nor save: {', '.join(held)}"
        )


def _check_host(model: nn.Module, name: str, host: nn.Module) -> None:
    why = why_never_called(model, name)
    if why:
        raise ValueError(f"a layer on module {name!r} would never run: {why}")
    if model.training and not host.training:
        raise ValueError(
            f"a layer on module {name!r} would be inert, as that {type(host).__name__} is in eval "
            "mode in a model in training mode: place it on the module before or after"
        )


def _copied(layer: Layer) -> Layer:
    """Copy a layer that draws from the same generators: copies of these would draw alike."""
    generators = (getattr(module, "generator", None) for module in layer.modules())
    return deepcopy(layer, {id(own): own for own in generators if own is not None})


def uncompiled(model: nn.Module) -> nn.Module:
    """Give the model that ``torch.compile`` was given, with the names its modules have there."""
    original: nn.Module = getattr(model, "_orig_mod", model)
    return original


def placed_layers(model: nn.Module) -> list[tuple[str, nn.Module, nn.Module]]:
    """Give name, module and layer of everything that is placed on a model."""
    return [
        (name, host, layer) for name, host in model.named_modules() for layer in placed_on(host)
    ]


def placed_on(module: nn.Module) -> list[nn.Module]:
    """Give the layers that are placed on one module, in the order in which they are applied."""
    return [hook.layer for hook in module._forward_hooks.values() if isinstance(hook, _Hook)]
