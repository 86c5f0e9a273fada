"""Networks of convolutions alone for small natural images."""

import torch
from torch import Tensor, nn


class AllConvNet(nn.Module):
    """Classify images (N, C, H, W) by nine convolutions and the mean over all positions.

    All-CNN-C of Springenberg et al. 2015 (arXiv:1412.6806), in three stages. On 32 × 32
    pixels, with the receptive field and stride after each:

    =======  ===============================================  ==========  ==========  ======
    module   convolutions                                     map         field       stride
    =======  ===============================================  ==========  ==========  ======
    stage1   3 × 3, 3 × 3, 3 × 3 with stride 2; 96 channels   16 × 16     7 × 7       2
    stage2   3 × 3, 3 × 3, 3 × 3 with stride 2; 192 channels  8 × 8       19 × 19     4
    stage3   3 × 3 without padding, 1 × 1; 192 channels       6 × 6       27 × 27     4
    =======  ===============================================  ==========  ==========  ======

    ``classifier`` is the last 1 × 1 convolution. Masks go after the stages; ``input`` passes the
    images on, so that a layer can be placed before all others. Batch normalisation,
    the width factor and He's initialisation (arXiv:1502.01852) are our additions; the authors'
    dropout, and the ReLU that they put on the logits, are left out.

    Args:
        classes: number of classes; with 1 the outputs are scores (N,).
        width: factor on the numbers of channels.
        batch_norm: whether batch normalisation follows the convolutions of the stages.
        in_channels: channels of the images.

    Raises:
        ValueError: fewer than one class, channel or image channel.
    """

    def __init__(
        self,
        classes: int = 10,
        width: float = 1.0,
        batch_norm: bool = True,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        narrow, wide = round(96 * width), round(192 * width)
        if narrow < 1:
            raise ValueError(f"width must be large enough for one channel in 96; got {width}")
        _check_positive(classes=classes, in_channels=in_channels)
        self.input = nn.Identity()
        self.stage1 = nn.Sequential(
            _layer(in_channels, narrow, batch_norm),
            _layer(narrow, narrow, batch_norm),
            _layer(narrow, narrow, batch_norm, stride=2),
        )
        self.stage2 = nn.Sequential(
            _layer(narrow, wide, batch_norm),
            _layer(wide, wide, batch_norm),
            _layer(wide, wide, batch_norm, stride=2),
        )
        self.stage3 = nn.Sequential(
            _layer(wide, wide, batch_norm, padding=0),
            _layer(wide, wide, batch_norm, kernel_size=1, padding=0),
        )
        self.classifier = nn.Conv2d(wide, classes, 1)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes), or to scores (N,) with one class."""
        features = self.stage3(self.stage2(self.stage1(self.input(images))))
        return _scores(self.classifier(features).mean((2, 3)))


class SmallConvNet(nn.Module):
    """Score images (N, C, H, W) by a few 3 × 3 convolutions of stride 2 and a linear layer.

    Cheap enough for a full batch of thousands of images. Layer k, ``layers.<k>`` counted from 0,
    has stride 2ᵏ⁺¹ and sees 2ᵏ⁺² − 1 pixels a side: 3, 7, 15, … Without normalisation nothing but
    the loss couples the samples of a batch.

    Args:
        classes: number of classes; with 1 the outputs are scores (N,).
        channels: width of every layer.
        depth: number of layers.
        batch_norm: whether batch normalisation follows each convolution.
        in_channels: channels of the images.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(
        self,
        classes: int = 1,
        channels: int = 32,
        depth: int = 3,
        batch_norm: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        _check_positive(classes=classes, channels=channels, depth=depth, in_channels=in_channels)
        widths = [in_channels] + [channels] * depth
        self.layers = nn.Sequential(
            *(_layer(widths[k], widths[k + 1], batch_norm, stride=2) for k in range(depth))
        )
        self.classifier = nn.Linear(channels, classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes), or to scores (N,) with one class."""
        return _scores(self.classifier(self.layers(images).mean((2, 3))))


def _layer(
    inputs: int,
    outputs: int,
    batch_norm: bool,
    kernel_size: int = 3,
    stride: int = 1,
    padding: int = 1,
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=not batch_norm),
        nn.BatchNorm2d(outputs) if batch_norm else nn.Identity(),
        nn.ReLU(inplace=True),
    )


@torch.no_grad()
def _initialise(model: nn.Module) -> None:
    """Draw the weights of convolutions that a ReLU follows so as to keep the signal's variance."""
    for module in model.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv2d):
            nn.init.kaiming_normal_(module[0].weight, nonlinearity="relu")
            if module[0].bias is not None:
                module[0].bias.zero_()


def _scores(logits: Tensor) -> Tensor:
    """Map logits (N, 1) to scores (N,), and leave others alone."""
    return logits.squeeze(1) if logits.shape[1] == 1 else logits


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1; got {number}")
