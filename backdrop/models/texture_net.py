"""Stride-2 convolutional nets for two-scale textures, in two stages: one for each scale."""

from collections.abc import Callable

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


class StridedConv2d(nn.Conv2d):
    """A convolution whose kernel, on maps one column wide, is its middle column alone.

    The other columns see nothing but padding there. Their gradient is zero, yet bfloat16 kernels of
    some processors (oneDNN in torch 2.15, strided convolutions) leave it uninitialised.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H', W')."""
        rows, columns = map(int, self.padding)
        if x.shape[-1] > 1 or not columns:
            return super().forward(x)
        return F.conv2d(
            x, self.weight[..., columns : columns + 1], self.bias, self.stride, (rows, 0)
        )


def _norm(kind: str) -> Callable[[int], nn.Module]:
    if kind not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {kind!r}")
    return {"batch": nn.BatchNorm2d, "layer": PositionLayerNorm, "none": nn.Identity}[kind]


def _layer(
    inputs: int, outputs: int, kernel_size: int, norm: Callable[[int], nn.Module]
) -> nn.Sequential:
    padding = kernel_size // 2 if kernel_size % 2 else 0
    return nn.Sequential(
        StridedConv2d(inputs, outputs, kernel_size, stride=2, padding=padding),
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
        if channels < 1 or classes < 1:
            raise ValueError(f"channels, classes must be at least 1; got {channels}, {classes}")
        normalise = _norm(norm)
        self.fine = nn.Sequential(
            _layer(in_channels, channels, 5, normalise),
            *(_layer(channels, channels, kernel_size, normalise) for _ in range(fine_layers - 1)),
        )
        self.coarse = nn.Sequential(
            *(_layer(channels, channels, kernel_size, normalise) for _ in range(coarse_layers))
        )
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes)."""
        features: Tensor = self.coarse(self.fine(images))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits
