"""A texture net that begins with fixed filters, fitted to the training images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backdrop.models.texture_net import TextureNet

FLOOR = 1e-5
"""What is added to the eigenvalues, as a share of the largest one."""


class Whitening(nn.Module):
    """Fixed filters that bring the patches of the training images close to unit covariance.

    5 x 5 filters with stride 2: the eigenvectors of the patches' covariance, divided by
    (eigenvalue / largest + 1e-5)^(strength / 2) and by the deviation of the first component. With
    ``strength`` 1 all components get equal variance, those below the floor excepted; with 0 they
    are only rotated. Each appears with both signs, so that a ReLU loses nothing.

    The filters of small eigenvalues are differences of large weights. So they are applied in
    float32 also under autocast, and to whole patches only: one that is zero beyond the edge of the
    image would have components up to 90 times as large as others. Zeros, its mean, fill the map up.
    In a net that is itself in half precision the filters are rounded, though still applied in
    float32.

    Args:
        in_channels: channels of the images.
        strength: from 0 to 1; how far to whiten.
    """

    filters: Tensor

    def __init__(self, in_channels: int, strength: float = 1.0) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"the strength of whitening must be from 0 to 1; got {strength}")
        self.strength = strength
        self.register_buffer("filters", torch.zeros(25 * in_channels, in_channels, 5, 5))

    @torch.no_grad()
    def fit(self, images: Tensor, every: int = 7) -> None:
        """Compute the filters from patches of images (N, C, H, W), one in ``every`` each way."""
        patches = (
            images.unfold(2, 5, every).unfold(3, 5, every).movedim(1, 3).flatten(3).flatten(0, 2)
        )
        values, vectors = torch.linalg.eigh(torch.cov(patches.double().T))
        relative = values / values[-1] + FLOOR
        filters = vectors / (relative ** (self.strength / 2) * values[-1].sqrt())
        self.filters.copy_((filters * _fixed_sign(filters)).T.reshape(self.filters.shape))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to maps (N, 50 C, H / 2, W / 2), halves rounded up.

        They have the dtype of the filters: float32 unless the net was given another.
        """
        kept = self.filters.dtype
        computed = torch.promote_types(kept, torch.float32)
        with torch.autocast(images.device.type, enabled=False):
            white = F.conv2d(images.to(computed), self.filters.to(computed), stride=2)
            white = F.pad(white, (1, 1, 1, 1)).to(kept)
            return torch.cat([white, -white], 1)


def _fixed_sign(vectors: Tensor) -> Tensor:
    """Give the signs that make the largest component of each column positive."""
    return vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()


class WhitenedTextureNet(TextureNet):
    """A TextureNet whose first convolution is fixed whitening filters and a learnt 1 x 1 mix.

    ``fit_to(images)`` computes the filters from training images before training. Whitening makes
    small structures as strong as large ones; two choices keep the large ones from drowning in
    turn. It is done by half (``whitening``), and the fine stage begins as averaging: each kernel of
    its further layers starts at one value over all its positions. The first layer is not
    normalised.

    Args:
        classes, channels, fine_layers, coarse_layers, kernel_size, norm, in_channels: as those of
            TextureNet.
        whitening: strength of the whitening, from 0 to 1.
    """

    def __init__(
        self,
        classes: int = 4,
        channels: int = 32,
        fine_layers: int = 3,
        coarse_layers: int = 3,
        kernel_size: int = 3,
        norm: str = "layer",
        in_channels: int = 1,
        whitening: float = 0.5,
    ) -> None:
        super().__init__(
            classes, channels, fine_layers, coarse_layers, kernel_size, norm, in_channels
        )
        self.fine[0] = nn.Sequential(
            Whitening(in_channels, whitening),
            nn.ReLU(inplace=True),
            nn.Conv2d(50 * in_channels, channels, 1),
            nn.ReLU(inplace=True),
        )
        for module in self.fine[1:].modules():
            if isinstance(module, nn.Conv2d):
                _begin_as_average(module)

    def fit_to(self, images: Tensor) -> None:
        """Compute the whitening filters from training images (N, C, H, W)."""
        whitening = self.fine[0][0]  # type: ignore[index]
        whitening.fit(images)


@torch.no_grad()
def _begin_as_average(convolution: nn.Conv2d) -> None:
    """Give each kernel one value over all its positions; the weights keep their variance."""
    weight = convolution.weight
    positions = weight[0, 0].numel()
    weight.copy_((weight.mean((2, 3), keepdim=True) * positions**0.5).expand_as(weight))
