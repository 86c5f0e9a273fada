"""Random changes to a batch of training images, made on the whole tensor at once."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from backdrop.transfer import to_device


@dataclass(frozen=True)
class RandomCrop:
    """Cut ``number`` square crops of ``size`` pixels a side out of every image of a batch.

    With size² · number near the number of pixels of the image, an epoch over crops costs about as
    much as one over whole images.
    """

    size: int
    number: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or self.number < 1:
            raise ValueError(f"size and number must be at least 1; got {self.size}, {self.number}")

    def __call__(
        self, images: Tensor, targets: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Map images (N, C, H, W), targets (N, …) to (N · number, C, size, size), (N · number, …).

        The places are drawn from ``generator``, a CPU generator.
        """
        height, width = images.shape[-2:]
        if self.size > min(height, width):
            raise ValueError(
                f"size must be at most {min(height, width)}, the image's; got {self.size}"
            )
        crops = len(images) * self.number
        top = torch.randint(height - self.size + 1, (crops,), generator=generator)
        left = torch.randint(width - self.size + 1, (crops,), generator=generator)
        which = torch.arange(len(images)).repeat_interleave(self.number)
        span = torch.arange(self.size)
        rows, columns = top[:, None, None] + span[:, None], left[:, None, None] + span
        cut = _pick(images, which[:, None, None], rows, columns)
        return cut, targets.repeat_interleave(self.number, 0)


@dataclass(frozen=True)
class ShiftAndFlip:
    """Shift every image by up to ``pixels`` each way, and mirror it left to right half the time.

    What a shift uncovers is zero, the mean of normalised images. Four pixels and the flip are what
    is usual for CIFAR-10 (He et al. 2015, arXiv:1512.03385).
    """

    pixels: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        if self.pixels < 0:
            raise ValueError(f"pixels must be at least 0; got {self.pixels}")

    def __call__(
        self, images: Tensor, targets: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Map images (N, C, H, W) and targets (N, …) to the same shapes; targets stay.

        Shifts and flips are drawn from ``generator``, a CPU generator.
        """
        number, (height, width) = len(images), images.shape[-2:]
        top, left = torch.randint(2 * self.pixels + 1, (2, number, 1, 1), generator=generator)
        rows, columns = (
            top + torch.arange(height)[:, None],
            torch.arange(width).expand(number, 1, -1),
        )
        if self.flip:
            mirrored = torch.rand((number, 1, 1), generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(-1), columns)
        which = torch.arange(number)[:, None, None]
        return _pick(F.pad(images, [self.pixels] * 4), which, rows, left + columns), targets


def _pick(images: Tensor, which: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Give the pixels of images (N, C, H, W) at indices that broadcast to (n, h, w)."""
    index = [to_device(i, images.device) for i in (which, rows, columns)]
    return images.movedim(1, -1)[*index].movedim(-1, 1)
