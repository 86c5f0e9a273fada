"""Masks that are the identity forward and random backward: stochastic gradients at chosen scales.

From Golkar & Cranmer, Backdrop: Stochastic Backpropagation, arXiv:1806.01337.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from backdrop.layer import Backdrop
from backdrop.mask import draw_mask, mask_gradient
from backdrop.neighbours.channel_dropback import ChannelDropBack, PaperChannelDropBack
from backdrop.neighbours.channel_dropback_code import CodeChannelDropBack
from backdrop.neighbours.conductance import conductances, high_conductance_share
from backdrop.neighbours.ydrop import YDrop
from backdrop.placement import Placement, place
from backdrop.receptive_field import ReceptiveField, receptive_field
from backdrop.scale import Site, module_at_scale
from backdrop.schedule import PSchedule
from backdrop.stratified import StratifiedBackdrop
from backdrop.survivors import InexactError, Survivors, survivors, why_inexact

if TYPE_CHECKING:
    from backdrop.datasets.textures import TextureCross, gaussian_texture, published_texture

__all__ = [
    "Backdrop",
    "ChannelDropBack",
    "CodeChannelDropBack",
    "InexactError",
    "PSchedule",
    "PaperChannelDropBack",
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

# These need more than torch, and are imported when they are asked for.
_TEXTURES = ("TextureCross", "gaussian_texture", "published_texture")


def __getattr__(name: str) -> Any:
    if name not in _TEXTURES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("backdrop.datasets.textures"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"backdrop.{name} needs {error.name}: install 'backdrop[datasets]'", name=error.name
        ) from error
