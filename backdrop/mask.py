"""The function under the layer: draws masks, and multiplies gradients by them."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from backdrop.arguments import checked_number
from backdrop.torch_private import forward_mode_active, function_transforms_active

Normalisation = Literal["realised", "expected"]

_RESOLUTION = 2**24  # numbers that torch.rand draws from in float32


class _MaskGradient(torch.autograd.Function):
    """Identity forward, product with a mask backward: cheap to call, and Dynamo traces it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return _alias(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _scale(grad, mask), None


class _MaskGradientAndTangent(torch.autograd.Function):
    """The same for ``torch.func`` and forward-mode derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return _alias(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    backward = _MaskGradient.backward

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (mask,) = ctx.saved_tensors
        return _scale(tangent, mask)


def _alias(x: Tensor) -> Tensor:
    # Not a view, which would refuse the in-place ReLU that often follows.
    return x.detach()


def _scale(grad: Tensor, mask: Tensor) -> Tensor:
    # The float32 mask lifts half-precision gradients: fp16 weights overflow, bf16 weights bias.
    return (grad * mask).to(grad.dtype)


def draw_mask(
    shape: Sequence[int],
    p: float,
    *,
    normalisation: Normalisation = "realised",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Draw a mask of ``shape`` whose elements are dropped with probability ``p``.

    With :math:`b_i \sim \mathrm{Bernoulli}(1 - p)`, the mask is in float32

    - ``"realised"``: :math:`m = b / \bar b`, where one uniformly chosen element of b is set to 1 if
      none survived; every draw averages 1 over its elements;
    - ``"expected"``: :math:`m = b / (1 - p)`, as in dropout; it averages 1 over draws, and a draw
      may be zero throughout. Random numbers have 24 bits, so 1 - p is here its nearest positive
      multiple of 2⁻²⁴.

    Raises:
        TypeError: if ``p`` is not a number.
        ValueError: if ``p`` lies outside [0, 1), ``shape`` is empty or the normalisation unknown.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> draw_mask((4,), 0.5)
        tensor([0., 4., 0., 0.])
    """
    p = checked_number("p", p, "[0, 1)")
    checked_normalisation(normalisation)
    if 0 in shape:
        raise ValueError(f"cannot draw a mask of the empty shape {tuple(shape)}")
    uniform = draw_uniform(shape, generator, device)
    if normalisation == "expected":
        kept = max(round((1 - p) * _RESOLUTION), 1) / _RESOLUTION
        return (uniform >= 1 - kept).to(torch.float32) / kept
    # The largest draw is the survivor if no other is: uniformly chosen, without a second draw or
    # a look at the values from the host.
    keep = (uniform >= uniform.amax().clamp(max=p)).to(torch.float32)
    return keep / keep.mean()


def draw_uniform(
    shape: Sequence[int], generator: torch.Generator | None, device: torch.device | str | None
) -> Tensor:
    """Draw float32 numbers of a shape, uniform in [0, 1)."""
    # The overload with a generator, even with None, knows no symbolic sizes under torch.compile.
    if generator is None:
        return torch.rand(shape, dtype=torch.float32, device=device)
    return torch.rand(shape, dtype=torch.float32, device=device, generator=generator)


def mask_gradient(x: Tensor, mask: Tensor) -> Tensor:
    r"""Return ``x`` unchanged and multiply the gradient that flows back through it by ``mask``.

    .. math:: y = x, \qquad \partial L / \partial x = m \odot \partial L / \partial y

    Forward-mode tangents are multiplied by the same mask, so that both modes agree. ``mask``
    itself receives no gradient. The result shares the memory of ``x`` without being a view of it.

    Warning:
        After ``y = mask_gradient(x, mask)``, changing ``x`` or ``y`` in place and then using the
        other is silently wrong: it has the new values, but its gradient knows nothing of the
        change. In-place operations on ``y`` where ``x`` is not used again, as an in-place ReLU
        after the layer, are fine.

    Raises:
        TypeError: if ``x`` is an integer or boolean tensor.
        ValueError: if ``mask`` does not broadcast to the shape of ``x``.

    Example:
        >>> x = torch.zeros(3, requires_grad=True)
        >>> mask_gradient(x, torch.tensor([0.0, 3.0, 0.0])).sum().backward()
        >>> x.grad
        tensor([0., 3., 0.])
    """
    # THE DOOR OF SURVIVORS: a model under survivors calls this with a stand-in for a tensor (see
    # backdrop/survivors/README.md), and a stage ends here in place of a gradient being masked.
    if has_torch_function_unary(x):
        return handle_torch_function(mask_gradient, (x,), x, mask)
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(f"only floating-point tensors carry gradients to mask, got {x.dtype}")
    aligned = (1,) * (x.ndim - mask.ndim) + tuple(mask.shape)
    if len(aligned) > x.ndim or any(m not in (1, n) for m, n in zip(aligned, x.shape, strict=True)):
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} does not broadcast to the input's shape "
            f"{tuple(x.shape)}: align its dims with the last ones, each of size 1 or the input's"
        )
    mask = mask.detach().to(x.device, torch.promote_types(mask.dtype, torch.float32))
    function = _MaskGradientAndTangent if _is_transformed() else _MaskGradient
    y: Tensor = function.apply(x, mask)
    return y


def _is_transformed() -> bool:
    """Say whether torch.func or forward-mode differentiation is at work, outside torch.compile."""
    if torch.compiler.is_compiling():
        return False
    return function_transforms_active() or forward_mode_active()


def checked_normalisation(normalisation: Normalisation) -> Normalisation:
    """Give a normalisation as it is, or raise ValueError."""
    if normalisation not in ("realised", "expected"):
        raise ValueError(f"normalisation must be 'realised' or 'expected', got {normalisation!r}")
    return normalisation
