"""Random changes to a batch of training images, made on the whole tensor at once."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


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
        cut = images.movedim(1, -1)[which[:, None, None], rows, columns].movedim(-1, 1)
        return cut, targets.repeat_interleave(self.number, 0)
