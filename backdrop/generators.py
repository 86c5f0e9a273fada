"""An object's own generator of random numbers: checked as an argument, saved and restored."""

import torch
from torch import Generator, Tensor


def checked_generator(generator: Generator | None) -> Generator | None:
    """Return ``generator`` as it is, or raise TypeError."""
    if not isinstance(generator, torch.Generator | None):
        raise TypeError(f"generator must be a torch.Generator or None, got {generator!r}")
    return generator


def generator_state(own: Generator | None) -> Tensor | None:
    """Give the state of an own generator, and None for the global one."""
    return None if own is None else own.get_state()


def set_generator_state(own: Generator | None, state: Tensor | None) -> None:
    """Go on from a state that :func:`generator_state` gave.

    Raises:
        ValueError: if there is a state without an own generator, or the reverse.
    """
    if (state is None) != (own is None):
        raise ValueError(
            "the saved state and this object must both have a generator of their own, or "
            f"neither: the state {'has none' if state is None else 'has one'}"
        )
    if own is not None and state is not None:
        own.set_state(state.cpu())
