"""The networks of the experiments."""

from backdrop.models.all_conv import AllConvNet, SmallConvNet
from backdrop.models.mlp import MLP
from backdrop.models.texture_net import TextureNet
from backdrop.models.whitened_texture_net import WhitenedTextureNet

__all__ = ["MLP", "AllConvNet", "SmallConvNet", "TextureNet", "WhitenedTextureNet"]
