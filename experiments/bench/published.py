"""The published formulation of the layer, from its description, for comparison only."""

from typing import Any

import torch
from torch import Tensor, nn

from backdrop import draw_mask


class _MultiplyByOnes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return x * torch.ones_like(mask)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return grad * mask, None


class PublishedBackdrop(nn.Module):
    """Multiplies by ones going forward and by a mask tensor going back (arXiv:1806.01337).

    Args:
        p: the probability that a location is masked.
        masked: the dims along which locations have masks of their own.
    """

    def __init__(self, p: float, masked: tuple[int, ...]) -> None:
        super().__init__()
        self.p, self.masked = p, masked

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of ``x`` whose gradient is masked."""
        shape = [size if dim in self.masked else 1 for dim, size in enumerate(x.shape)]
        y: Tensor = _MultiplyByOnes.apply(x, draw_mask(shape, self.p, device=x.device).to(x.dtype))
        return y
