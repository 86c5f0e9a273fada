"""The networks of the experiments."""

from backdrop.models.texture_net import TextureNet, WhitenedTextureNet

__all__ = ["TextureNet", "WhitenedTextureNet"]
