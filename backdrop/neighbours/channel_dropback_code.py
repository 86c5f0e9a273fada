"""ChannelDropBack as in its authors' program: gradients of some input channels are dropped."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from backdrop.arguments import checked_integer, checked_number
from backdrop.neighbours.step_hooks import StepHooks, eligible_parameters, nothing_left
from backdrop.transfer import to_device

Rate = float | Callable[[int], float]


def code_schedule(epochs: int) -> Callable[[int], float]:
    """Give the ``rate_layer`` of the published training script as a function of the epoch.

    It is 0.03, then 0.15, then 0.30. The script asks after an epoch whether its number, from 0, is
    above ``round(0.3 * epochs)``, or ``round(0.6 * epochs)``; so a rate begins two epochs later
    than these products.

    Args:
        epochs: the length of the training.

    Raises:
        TypeError: if ``epochs`` is not an int.
        ValueError: if it is below 1.

    Example:
        >>> rate = code_schedule(100)
        >>> [rate(epoch) for epoch in (0, 31, 32, 61, 62)]
        [0.03, 0.03, 0.15, 0.15, 0.3]
    """
    checked_integer("epochs", epochs, 1)
    first, second = round(0.3 * epochs), round(0.6 * epochs)

    def rate(epoch: int) -> float:
        return 0.3 if epoch - 1 > second else 0.15 if epoch - 1 > first else 0.03

    return rate


class CodeChannelDropBack(StepHooks):
    r"""Has an optimizer see gradients in which some weights miss random input channels.

    From the program that Neiterman & Ben-Artzi published with ChannelDropBack, arXiv:2411.10891,
    which differs from their description, :class:`PaperChannelDropBack`. Before a step each eligible
    weight independently, with probability ``rate_layer``, drops each *input* channel j (dim 1) with
    probability ``rate_channel``:

    .. math:: g_{ij\dots} \leftarrow k_j g_{ij\dots} / \bar k,
        \qquad k_j \sim \mathrm{Bernoulli}(1 - \text{rate\_channel}),

    and nothing is dropped if all channels would be. Gradients are edited in place, so that weight
    decay and momentum still move dropped channels. Eligible are weights of two dims and more,
    except biases and batch normalisation, whose index in ``model.parameters()``, from 0, is above
    ``skip``. Depthwise convolutions have one input channel and never drop it. Of a parametrised
    weight, as ``weight_norm`` makes it, the parameters that it is computed from are treated.

    Eligible here are parameters by their own name and module; the program looks for "bias" and "bn"
    anywhere in the full name. Random numbers are drawn on the CPU, and a GPU is not waited for.

    Args:
        model: the model whose parameters the optimizer updates.
        optimizer: any optimizer with hooks around its step, as all in ``torch.optim``; it must be
            stepped without a closure, which computes gradients within the step.
        layers: names of modules, as in ``model.named_modules()``; only they and what they contain
            are treated. By default the whole model.
        skip: parameter tensors up to this index are left alone.
        rate_channel: the probability that a channel is dropped, in [0, 1).
        rate_layer: the probability that a weight is treated in a step, in [0, 1], or a function
            from the epoch to it, such as :func:`code_schedule`.
        generator: the source of random numbers on the CPU, by default the global one; needed where
            a process group of several ranks is initialised.

    Raises:
        KeyError: if the model has no module of a name in ``layers``.
        TypeError: if an argument is of the wrong type.
        ValueError: if a number is out of range, nothing is left to treat, or a generator is needed.

    Example:
        >>> model = nn.Linear(8, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> dropback = CodeChannelDropBack(model, optimizer, skip=-1, rate_layer=1.0)
        >>> dropback
        CodeChannelDropBack(rate_channel=0.3, rate_layer=1.0)
    """

    form = "code"

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        layers: Sequence[str] | None = None,
        skip: int = 3,
        rate_channel: float = 0.3,
        rate_layer: Rate = 0.03,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(optimizer, generator)
        skip = checked_integer("skip", skip, -1)
        self.rate_channel = checked_number("rate_channel", rate_channel, "[0, 1)")
        self.rate_layer = rate_layer
        eligible = eligible_parameters(model, optimizer, layers, skip)
        self._weights = [weight for weight in eligible.values() if weight.ndim >= 2]
        if not self._weights:
            raise nothing_left(self.form, layers, skip)
        self.set_epoch(0)
        self._handles = self._register(optimizer)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins, counted from 0: a scheduled ``rate_layer`` follows it.

        Raises:
            TypeError: if ``epoch`` is not an int, or the rate not a number.
            ValueError: if ``epoch`` is negative, or the rate lies outside [0, 1].
        """
        super().set_epoch(epoch)
        rate = self.rate_layer(epoch) if callable(self.rate_layer) else self.rate_layer
        self._rate = checked_number(f"rate_layer of epoch {epoch}", rate, "[0, 1]")

    def __repr__(self) -> str:
        rates = f"rate_channel={self.rate_channel}, rate_layer={self.rate_layer}"
        return f"{type(self).__name__}({rates})"

    def _register(self, optimizer: Optimizer) -> list[RemovableHandle]:
        return [optimizer.register_step_pre_hook(self._edit_gradients)]

    def _edit_gradients(self, _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if kwargs.get("closure", args[1] if len(args) > 1 else None) is not None:
            raise ValueError(
                "a closure computes gradients within the step, after they would be edited: call "
                "optimizer.step() without one, or choose form='paper'"
            )
        for weight in self._weights:
            if weight.grad is not None and torch.rand(1, generator=self.generator) < self._rate:
                channels = weight.shape[1]
                dropped = torch.rand(channels, generator=self.generator) < self.rate_channel
                if not dropped.all():
                    share = 1 - int(dropped.sum()) / channels
                    indices = to_device(dropped.nonzero().squeeze(1), weight.grad.device)
                    weight.grad.div_(share).index_fill_(1, indices, 0)
