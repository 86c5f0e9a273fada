"""Stride-2 convolutional nets for two-scale textures, in two stages: one for each scale."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS = ("batch", "layer", "none")


class PositionLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position of a map (N, C, H, W).

    It couples neither samples nor positions, unlike batch, group and instance normalisation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) over C."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def _norm(kind: str) -> Callable[[int], nn.Module]:
    if kind not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {kind!r}")
    return {"batch": nn.BatchNorm2d, "layer": PositionLayerNorm, "none": nn.Identity}[kind]


def _layer(
    inputs: int, outputs: int, kernel_size: int, norm: Callable[[int], nn.Module]
) -> nn.Sequential:
    padding = kernel_size // 2 if kernel_size % 2 else 0
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size, stride=2, padding=padding),
        norm(outputs),
        nn.ReLU(inplace=True),
    )


class TextureNet(nn.Module):
    """Classify textures (N, C, H, W) by a stage for fine and a stage for coarse structures.

    Every layer halves the resolution: ``fine`` holds a 5 x 5 and ``fine_layers - 1`` further
    convolutions, ``coarse`` another ``coarse_layers``; then the mean over all positions and a
    linear classifier. With 5 + 3 layers of 64 channels and no normalisation it is the
    demonstration net of the authors' code; normalisation is our addition.

    Args:
        classes: number of classes.
        channels: width of every layer.
        fine_layers, coarse_layers: layers in each stage; the stages are named ``fine`` and
            ``coarse``, and masks go after them.
        kernel_size: of all layers but the first; odd sizes are padded to halve exactly, 2 x 2
            kernels tile the map and are not padded.
        norm: ``batch``, ``layer`` (over the channels of each position) or ``none``.
        in_channels: channels of the images.
    """

    def __init__(
        self,
        classes: int = 4,
        channels: int = 32,
        fine_layers: int = 3,
        coarse_layers: int = 3,
        kernel_size: int = 3,
        norm: str = "batch",
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        if fine_layers < 1 or coarse_layers < 1:
            raise ValueError(
                f"fine_layers, coarse_layers must be at least 1; got {fine_layers}, {coarse_layers}"
            )
        normalise = _norm(norm)
        self.fine = nn.Sequential(
            self._first_layer(in_channels, channels, normalise),
            *(_layer(channels, channels, kernel_size, normalise) for _ in range(fine_layers - 1)),
        )
        self.coarse = nn.Sequential(
            *(_layer(channels, channels, kernel_size, normalise) for _ in range(coarse_layers))
        )
        self.classifier = nn.Linear(channels, classes)

    def _first_layer(
        self, inputs: int, channels: int, norm: Callable[[int], nn.Module]
    ) -> nn.Sequential:
        return _layer(inputs, channels, 5, norm)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes)."""
        features: Tensor = self.coarse(self.fine(images))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class Whitening(nn.Module):
    """Fixed filters that give the patches of the training images unit covariance.

    The filters are the eigenvectors of the covariance of 5 x 5 patches, divided by the square root
    of eigenvalue + 1e-5 of the largest one. Each appears with both signs, so that the ReLU that
    follows loses nothing. They are computed in float32 also under autocast: the small eigenvalues
    are what the layer is for.
    """

    filters: Tensor

    def __init__(self, in_channels: int, kernel_size: int = 5, stride: int = 2) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        patch = in_channels * kernel_size**2
        self.register_buffer("filters", torch.zeros(patch, in_channels, kernel_size, kernel_size))

    @torch.no_grad()
    def fit(self, images: Tensor, every: int = 7) -> None:
        """Compute the filters from patches of images (N, C, H, W), one in ``every`` each way."""
        k = self.kernel_size
        patches = (
            images.unfold(2, k, every).unfold(3, k, every).movedim(1, 3).flatten(3).flatten(0, 2)
        )
        values, vectors = torch.linalg.eigh(torch.cov(patches.double().T))
        filters = vectors / (values + 1e-5 * values[-1]).sqrt()
        self.filters.copy_((filters * _fixed_sign(filters)).T.reshape(self.filters.shape))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to (N, 2 C k², H / stride, W / stride)."""
        with torch.autocast(images.device.type, enabled=False):
            white = F.conv2d(
                images.float(), self.filters, stride=self.stride, padding=self.kernel_size // 2
            )
            return torch.cat([white, -white], 1)


def _fixed_sign(vectors: Tensor) -> Tensor:
    """Give the signs that make the largest component of each column positive."""
    return vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()


class WhitenedTextureNet(TextureNet):
    """A TextureNet whose first convolution is fixed whitening filters and a learnt 1 x 1 mix.

    ``fit_to(images)`` computes the filters from training images before training; the other
    arguments are those of TextureNet.
    """

    def _first_layer(
        self, inputs: int, channels: int, norm: Callable[[int], nn.Module]
    ) -> nn.Sequential:
        return nn.Sequential(
            Whitening(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * inputs * 25, channels, 1),
            norm(channels),
            nn.ReLU(inplace=True),
        )

    def fit_to(self, images: Tensor) -> None:
        """Compute the whitening filters from training images (N, C, H, W)."""
        whitening = self.fine[0][0]  # type: ignore[index]
        whitening.fit(images)
