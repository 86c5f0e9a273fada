"""Masks that are the identity forward and random backward: stochastic gradients at chosen scales.

From Golkar & Cranmer, Backdrop: Stochastic Backpropagation, arXiv:1806.01337.
"""

from backdrop.mask import Backdrop, draw_mask, mask_gradient
from backdrop.placement import Placement, place

__all__ = ["Backdrop", "Placement", "draw_mask", "mask_gradient", "place"]
