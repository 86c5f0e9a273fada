"""Masks that are the identity forward and random backward: stochastic gradients at chosen scales.

From Golkar & Cranmer, Backdrop: Stochastic Backpropagation, arXiv:1806.01337.
"""

from backdrop.channel_dropback import ChannelDropBack
from backdrop.conductance import conductances, high_conductance_share
from backdrop.datasets.textures import TextureCross, gaussian_texture, published_texture
from backdrop.layer import Backdrop
from backdrop.mask import draw_mask, mask_gradient
from backdrop.placement import Placement, Site, module_at_scale, place
from backdrop.receptive_field import ReceptiveField, receptive_field
from backdrop.stratified import StratifiedBackdrop
from backdrop.survivors import InexactError, Survivors, survivors, why_inexact
from backdrop.ydrop import YDrop

__all__ = [
    "Backdrop",
    "ChannelDropBack",
    "InexactError",
    "Placement",
    "ReceptiveField",
    "Site",
    "StratifiedBackdrop",
    "Survivors",
    "TextureCross",
    "YDrop",
    "conductances",
    "draw_mask",
    "gaussian_texture",
    "high_conductance_share",
    "mask_gradient",
    "module_at_scale",
    "place",
    "published_texture",
    "receptive_field",
    "survivors",
    "why_inexact",
]
