"""A Backdrop layer for whole samples whose survivors are drawn within groups, as the classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backdrop.layer import Backdrop
from backdrop.mask import Normalisation, draw_uniform


class StratifiedBackdrop(Backdrop):
    r"""Masks the gradients of whole samples at random, with a survivor in every group of a batch.

    For losses that do not decompose over samples, as the AUC loss: where positives are rare,
    ``Backdrop(p, "sample")`` may leave none of them. Here a sample i of the group g(i), which has
    :math:`n_g` samples, is kept with probability 1 - p, and where none of a group is, one of it,
    uniformly chosen. Its gradient is multiplied by

    .. math:: m_i = b_i / \bar b_{g(i)}, \qquad \bar b_g = \frac{1}{n_g} \sum_{j \in g} b_j,
        \qquad P(b_i = 1) = 1 - p + p^{n_g} / n_g.

    Within a group all samples fare alike, and in every draw their weights sum to :math:`n_g`, so
    that each has mean 1: as with :class:`Backdrop`, the mean gradient over draws is the plain one
    of the same batch. Dividing by the share kept of the whole batch would not do, since a sample is
    kept the more often the smaller its group is. Other habits are those of :class:`Backdrop` with
    ``dims="sample"``, whose masks these are where all samples are of one group.

    Args:
        p: the probability that a sample is masked, in [0, 1).
        normalisation: ``"realised"`` as above; ``"expected"`` divides by 1 - p, and then nothing is
            forced to survive and groups play no part.
        generator: as for :class:`Backdrop`.

    Attributes:
        groups: (N,) integers or booleans of any values, one for each sample of the next forward
            passes; equal ones make a group. To be set for every batch, and left until its backward
            pass is done where activation checkpointing draws again. Copies of the layer carry it,
            state_dict does not. Not looked at where the layer is inert or has a fixed mask.

    Shape:
        (N, …) in and out.

    Raises:
        TypeError: in the forward pass, if ``groups`` is no tensor of integers or booleans; else as
            :class:`Backdrop`.
        ValueError: in the forward pass, if ``groups`` does not have the shape (N,); else as
            :class:`Backdrop`.
        RuntimeError: in the forward pass, if ``groups`` is not set; else as :class:`Backdrop`.

    Example:
        >>> layer = StratifiedBackdrop(0.98)
        >>> scores = torch.zeros(100, requires_grad=True)
        >>> targets = torch.arange(100) < 3
        >>> layer.groups = targets
        >>> layer(scores).sum().backward()
        >>> scores.grad[targets].mean(), scores.grad[~targets].mean()
        (tensor(1.), tensor(1.))
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        normalisation: Normalisation = "realised",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, "sample", normalisation=normalisation, generator=generator)
        self.groups: Tensor | None = None

    def _draw_of_shape(self, shape: Sequence[int], device: torch.device) -> Tensor:
        groups = _checked_groups(self.groups, shape[0]).to(device)
        if self.normalisation == "expected":
            return super()._draw_of_shape(shape, device)
        uniform = draw_uniform((shape[0],), self.generator, device)
        return _mask_within(groups, uniform, self.p).view(shape)


def _mask_within(groups: Tensor, uniform: Tensor, p: float) -> Tensor:
    # Every step has shapes that do not depend on the values, so that nothing waits for the device.
    # Groups are known by the place of their first sample in sorted order, a number below N.
    number = torch.searchsorted(groups.sort().values, groups)
    zeros = torch.zeros_like(uniform)
    largest = zeros.scatter_reduce(0, number, uniform, "amax")[number]
    keep = (uniform >= largest.clamp(max=p)).to(torch.float32)
    kept, size = (zeros.scatter_add(0, number, x)[number] for x in (keep, torch.ones_like(keep)))
    return keep / (kept / size)


def _checked_groups(groups: Tensor | None, samples: int) -> Tensor:
    if groups is None:
        raise RuntimeError(
            "StratifiedBackdrop needs the groups of the batch in training: set its groups to the "
            f"targets of these {samples} samples before the forward pass"
        )
    if not isinstance(groups, Tensor) or groups.is_floating_point() or groups.is_complex():
        found = groups.dtype if isinstance(groups, Tensor) else type(groups).__name__
        raise TypeError(f"groups must be a tensor of integers or booleans, got {found}")
    if groups.shape != (samples,):
        raise ValueError(
            f"groups must have the shape ({samples},), one for each sample of the input, got "
            f"{tuple(groups.shape)}"
        )
    # Unsigned and boolean values are not sorted on every device; int64 keeps different ones apart.
    return groups.to(torch.int64).contiguous()
