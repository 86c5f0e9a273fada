"""The Backdrop layer: the identity forward, a random mask on the gradient backward."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from backdrop.dims import Dims, checked_dims, resolve_dims

Normalisation = Literal["realised", "expected"]


class _MaskGradient(torch.autograd.Function):
    """Identity forward, product with a mask backward; Dynamo traces this one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, mask: Tensor) -> Tensor:
        # An alias that is not a view: a view would refuse the in-place ReLU that often follows.
        return x.detach()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _scale(grad, mask), None


class _MaskGradientAndTangent(_MaskGradient):
    """The same with forward-mode derivatives, which Dynamo refuses to trace."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (mask,) = ctx.saved_tensors
        return _scale(tangent, mask)


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
      may be zero throughout.

    Raises:
        TypeError: if ``p`` is not a number.
        ValueError: if ``p`` lies outside [0, 1), ``shape`` is empty or the normalisation unknown.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> draw_mask((4,), 0.5)
        tensor([0., 4., 0., 0.])
    """
    p = _checked_probability(p)
    _check_normalisation(normalisation)
    if 0 in shape:
        raise ValueError(f"cannot draw a mask of the empty shape {tuple(shape)}")
    uniform = _draw_uniform(shape, generator, device)
    if normalisation == "expected":
        return (uniform >= p).to(torch.float32) / (1 - p)
    # The largest draw is the survivor if no other is: uniformly chosen, without a second draw or
    # a look at the values from the host.
    keep = ((uniform >= p) | (uniform == uniform.amax())).to(torch.float32)
    return keep / keep.mean()


def _draw_uniform(
    shape: Sequence[int], generator: torch.Generator | None, device: torch.device | str | None
) -> Tensor:
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
        After ``y = mask_gradient(x, mask)``, changing ``y`` in place and then using ``x`` again is
        silently wrong: ``x`` has the new values, but its gradient knows nothing of the change.
        In-place operations on ``y`` alone, as an in-place ReLU after the layer, are fine.

    Raises:
        TypeError: if ``x`` is an integer or boolean tensor.
        ValueError: if ``mask`` does not broadcast to the shape of ``x``.

    Example:
        >>> x = torch.zeros(3, requires_grad=True)
        >>> mask_gradient(x, torch.tensor([0.0, 3.0, 0.0])).sum().backward()
        >>> x.grad
        tensor([0., 3., 0.])
    """
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
    function = _MaskGradient if torch.compiler.is_compiling() else _MaskGradientAndTangent
    y: Tensor = function.apply(x, mask)
    return y


class Backdrop(nn.Module):
    r"""Masks the gradient at random locations in training and is the identity otherwise.

    The output is the input, without a copy. In training, the gradient is multiplied by a mask that
    is drawn in the forward pass, with the input's sizes along ``dims`` and size 1 along the others:

    .. math:: y = x, \qquad \partial L / \partial x = (b / \bar b) \odot \partial L / \partial y,
        \qquad b_i \sim \mathrm{Bernoulli}(1 - p),

    where at least one element of b survives; see :func:`draw_mask`. With independent masks the mean
    gradient over draws is the plain gradient, of any network. In eval mode and at p = 0 the layer
    returns its input itself. From Golkar & Cranmer, Backdrop: Stochastic Backpropagation,
    arXiv:1806.01337.

    Args:
        p: the probability that a location is masked, in [0, 1).
        dims: numbers (one or several, negative ones count from the last), or the names ``"sample"``
            (dim 0), ``"channel"`` (dim 1) and ``"spatial"`` (dims 2 and above), joined by ``+``.
            ``"spatial"`` draws one mask for all samples, ``"sample+spatial"`` one for each.
        normalisation: ``"realised"`` divides by the share that survives in this draw,
            ``"expected"`` by 1 - p, and then nothing is forced to survive.
        generator: the source of random numbers, by default the global one of the input's device;
            copies of the layer carry its state. Eager mode only: activation checkpointing and
            ``torch.compile(fullgraph=True)`` cannot honour it, and raise.

    Attributes:
        fixed_mask: None, or a mask that is used as given in place of drawn ones, in training and
            eval mode and whatever p is. Where it has one surviving element, the gradient at the
            model's input shows the receptive field of that element.

    Shape:
        (N, C, L), (N, C, H, W), (N, C, D, H, W) or any other; the output has the same. Gradients
        keep their dtype and are scaled in float32 or better.

    Raises:
        TypeError: if ``p`` or ``dims`` is of the wrong type, or the input is an integer tensor.
        ValueError: if ``p`` lies outside [0, 1), a name is unknown, a dim is repeated or lacking,
            or the input is empty.
        RuntimeError: on export in training mode, or where the generator cannot be honoured.

    Warning:
        As with :func:`mask_gradient`, after ``y = layer(x)``, changing ``y`` in place and then
        using ``x`` again is silently wrong.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = torch.zeros(2, 1, 2, 2, requires_grad=True)
        >>> Backdrop(0.5, "sample")(x).sum().backward()
        >>> x.grad.flatten()
        tensor([0., 0., 0., 0., 2., 2., 2., 2.])
    """

    def __init__(
        self,
        p: float = 0.5,
        dims: Dims = "sample+spatial",
        *,
        normalisation: Normalisation = "realised",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.p = _checked_probability(p)
        self.dims = checked_dims(dims)
        self.normalisation = _check_normalisation(normalisation)
        if not isinstance(generator, torch.Generator | None):
            raise TypeError(f"generator must be a torch.Generator or None, got {generator!r}")
        self.generator = generator
        self.fixed_mask: Tensor | None = None
        self._record: list[Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` and, in training, arrange for its gradient to be masked."""
        if self.fixed_mask is None and (not self.training or self.p == 0):
            return x
        _refuse_export()
        mask = self._draw(x) if self.fixed_mask is None else self.fixed_mask
        if self._record is not None:
            self._record.append(mask)
        return mask_gradient(x, mask)

    def _draw(self, x: Tensor) -> Tensor:
        # Drawn without asking whether x needs a gradient: reentrant checkpointing runs the first
        # pass under no_grad, and both passes must use up the same random numbers.
        if 0 in x.shape:
            raise ValueError(f"cannot mask an empty input of shape {tuple(x.shape)}")
        if self.generator is not None:
            _refuse_generator_out_of_step()
        masked = resolve_dims(self.dims, x.ndim)
        shape = [size if dim in masked else 1 for dim, size in enumerate(x.shape)]
        return draw_mask(
            shape,
            self.p,
            normalisation=self.normalisation,
            generator=self.generator,
            device=x.device,
        )

    @contextmanager
    def recorded(self) -> Iterator[list[Tensor]]:
        """Collect the mask of every call made within a ``with`` block, oldest first.

        Example:
            >>> layer = Backdrop(0.5, "sample")
            >>> with layer.recorded() as masks:
            ...     _ = layer(torch.zeros(8, 3, 32, 32))
            >>> masks[-1].shape
            torch.Size([8, 1, 1, 1])
        """
        before = self._record
        self._record = masks = list[Tensor]()
        try:
            yield masks
        finally:
            self._record = before

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts with no record: the list belongs to the `with` block that made it.
        return {**self.__dict__, "_record": None}

    def extra_repr(self) -> str:
        """Show the arguments in the module's printed form."""
        return f"p={self.p}, dims={self.dims}, normalisation={self.normalisation}"


def _checked_probability(p: float) -> float:
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"p must be a number in [0, 1), got {p!r}")
    if not 0 <= p < 1:
        raise ValueError(f"p is the probability of being masked and must lie in [0, 1), got {p}")
    return float(p)


def _check_normalisation(normalisation: Normalisation) -> Normalisation:
    if normalisation not in ("realised", "expected"):
        raise ValueError(f"normalisation must be 'realised' or 'expected', got {normalisation!r}")
    return normalisation


def _refuse_export() -> None:
    if torch.compiler.is_exporting():
        raise RuntimeError(
            "cannot export an active Backdrop layer, whose gradient the exported graph would cut: "
            "call model.eval() and lift fixed masks first, and the layer is the identity"
        )


def _refuse_generator_out_of_step() -> None:
    if torch.compiler.is_compiling():
        raise RuntimeError(
            "torch.compile cannot draw from a Backdrop layer's own generator: leave it out, and "
            "seed the global one with torch.manual_seed"
        )
    # A forward pass inside a backward pass is a recomputation by activation checkpointing, which
    # restores the global random state but not that of other generators.
    if torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "on recomputation, activation checkpointing would draw another mask from a Backdrop "
            "layer's own generator: leave it out, and the masks agree"
        )
