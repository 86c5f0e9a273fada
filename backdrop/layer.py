"""The Backdrop layer: the identity forward, a random mask on the gradient backward."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from backdrop.arguments import checked_number
from backdrop.dims import Dims, checked_dims, resolve_dims
from backdrop.generators import checked_generator
from backdrop.mask import Normalisation, checked_normalisation, draw_mask, mask_gradient
from backdrop.torch_private import exporting, in_backward_pass


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
            ``"token"`` and ``"sample+token"`` do so for sequences of tokens (N, L, E), and other
            inputs with their channels last (N, …, E).
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
        (N, C, L), (N, C, H, W), (N, C, D, H, W), (N, L, E) or any other; the output has the same.
        Gradients keep their dtype and are scaled in float32 or better.

    Raises:
        TypeError: if ``p`` or ``dims`` is of the wrong type, or the input is an integer tensor.
        ValueError: if ``p`` lies outside [0, 1), a name is unknown, a dim is repeated or lacking,
            or the input is empty.
        RuntimeError: on export in training mode, or where the generator cannot be honoured.

    Warning:
        As with :func:`mask_gradient`, after ``y = layer(x)``, changing ``x`` or ``y`` in place and
        then using the other is silently wrong.

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
        self.p = p
        self.dims = checked_dims(dims)
        self.normalisation = checked_normalisation(normalisation)
        self.generator = checked_generator(generator)
        self.fixed_mask: Tensor | None = None
        self._record: list[Tensor] | None = None

    @property
    def p(self) -> float:
        """Give the probability that a location is masked; it may be set between forward passes."""
        return self._p

    @p.setter
    def p(self, p: float) -> None:
        self._p = checked_number("p", p, "[0, 1)")

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` and, in training, arrange for its gradient to be masked."""
        if isinstance(x, fx.Proxy):
            return self._node(x)
        if self._is_inert():
            return x
        _refuse_export()
        mask = self._draw(x) if self.fixed_mask is None else self.fixed_mask
        if self._record is not None:
            self._record.append(mask)
        return mask_gradient(x, mask)

    def _is_inert(self) -> bool:
        return self.fixed_mask is None and (not self.training or self.p == 0)

    def _node(self, x: fx.Proxy) -> Tensor:
        """Give the node of a graph that calls this layer as a module, in whatever mode."""
        try:
            path = cast(fx.Tracer, x.tracer).path_of_module(self)
        except NameError:  # no module of the model: placed
            if self._is_inert():
                return cast(Tensor, x)
            raise
        return cast(Tensor, x.tracer.create_proxy("call_module", path, (x,), {}))

    def _draw(self, x: Tensor) -> Tensor:
        # Drawn without asking whether x needs a gradient: reentrant checkpointing runs the first
        # pass under no_grad, and both passes must use up the same random numbers.
        if 0 in x.shape:
            raise ValueError(f"cannot mask an empty input of shape {tuple(x.shape)}")
        if self.generator is not None:
            _refuse_generator_out_of_step()
        masked = resolve_dims(self.dims, x.ndim)
        shape = [size if dim in masked else 1 for dim, size in enumerate(x.shape)]
        return self._draw_of_shape(shape, x.device)

    def _draw_of_shape(self, shape: Sequence[int], device: torch.device) -> Tensor:
        return draw_mask(
            shape,
            self.p,
            normalisation=self.normalisation,
            generator=self.generator,
            device=device,
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

    def __prepare_scriptable__(self) -> nn.Module:
        # What torch.jit.script asks for; a substitute would stay in the model that it was given.
        raise RuntimeError(
            "torch.jit cannot script a Backdrop layer: script a copy of the model that has "
            "nn.Identity() in its place, or export with torch.export in eval mode"
        )

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts with no record: the list belongs to the `with` block that made it.
        return {**self.__dict__, "_record": None}

    def extra_repr(self) -> str:
        """Show the arguments in the module's printed form."""
        return f"p={self.p}, dims={self.dims}, normalisation={self.normalisation}"


def _refuse_export() -> None:
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    if exporting() or tracing:
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
    if in_backward_pass():
        raise RuntimeError(
            "on recomputation, activation checkpointing would draw another mask from a Backdrop "
            "layer's own generator: leave it out, and the masks agree"
        )
