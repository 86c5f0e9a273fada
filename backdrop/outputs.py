"""The tensor that a placed layer acts on, in whatever a module returns."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from torch import Tensor

Element = int | str


def element_of(output: Any) -> Element:
    """Give the place of the first floating-point tensor with dims in a tuple, list or mapping.

    It is an index or a key, as ``"last_hidden_state"`` in an output of Hugging Face's models; a
    loss, which has no dims, is passed over.

    Raises:
        TypeError: if there is no such tensor.
    """
    if isinstance(output, Mapping):
        entries = list(output.items())
    elif isinstance(output, tuple | list):
        entries = list(enumerate(output))
    else:
        raise TypeError(f"a {type(output).__name__}")
    for key, value in entries:
        if isinstance(value, Tensor) and value.ndim and value.is_floating_point():
            found: Element = key
            return found
    raise TypeError(f"a {type(output).__name__} without a floating-point tensor")


def replaced(output: Any, element: Element, layer: Callable[[Tensor], Tensor]) -> Any:
    """Give the same output, of the same type, with one element passed through a layer."""
    value = layer(output[element])
    if isinstance(output, Mapping):
        changed: Any = copy(output)
        changed[element] = value
        return changed
    items = [value if place == element else item for place, item in enumerate(output)]
    if hasattr(output, "_fields"):  # a named tuple
        return type(output)(*items)
    return type(output)(items)
