"""ChannelDropBack: forward and backward as usual, but a step updates some channels only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from backdrop.arguments import checked_integer, checked_names, checked_number
from backdrop.generators import checked_generator, generator_state, set_generator_state
from backdrop.module_names import find_module
from backdrop.placement import uncompiled
from backdrop.transfer import to_device

Form = Literal["paper", "code"]
Rate = float | Callable[[int], float]

_ARGUMENTS = {"paper": {"fraction": 0.7}, "code": {"rate_channel": 0.3, "rate_layer": 0.03}}
_SKIP = {"paper": -1, "code": 3}
_CHANNELLED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


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


class ChannelDropBack:
    r"""Has an optimizer update random channels of a model's layers, by hooks around its step.

    From Neiterman & Ben-Artzi, ChannelDropBack: Forward-Consistent Stochastic Regularization for
    Deep Networks, arXiv:2411.10891. The published description and the published code differ:

    - ``form="paper"``, the description: a step picks one linear or convolutional layer uniformly
      and ``round(fraction * channels)`` of its output channels, at least one. The others keep
      weights and biases as they were, bit for bit, since these are saved before the step and
      restored after it; all other layers are updated as usual, and nothing is scaled. Momentum
      buffers and other state of the optimizer go on as usual, for kept channels as well.
    - ``form="code"``, the authors' program: each eligible weight independently, with probability
      ``rate_layer``, drops each *input* channel j (dim 1) with probability ``rate_channel``:

      .. math:: g_{ij\dots} \leftarrow k_j g_{ij\dots} / \bar k,
          \qquad k_j \sim \mathrm{Bernoulli}(1 - \text{rate\_channel}),

      and nothing is dropped if all channels would be. Gradients are edited in place before the
      step, so that weight decay and momentum still move dropped channels. Eligible are weights of
      two dims and more, except biases and batch normalisation, whose index in
      ``model.parameters()``, from 0, is above ``skip``. Depthwise convolutions have one input
      channel and never drop it.

    Unknown are the size of the paper's subset (0.7 is ours), whether it treats biases (ours go with
    their channel), and which form gave the published results. Eligible here are parameters by their
    own name and module; the program looks for "bias" and "bn" anywhere in the full name.

    Works with gradient accumulation, clipping before the step, ``torch.amp.GradScaler``, fused and
    foreach optimizers, and compiled models. Of a closure, which computes gradients within the step,
    only the paper form can make use. Random numbers are drawn on the CPU, from the global stream or
    the own generator, and a GPU is not waited for. Replicas in distributed training draw for
    themselves: unless every rank has a generator of the same seed, they come apart.

    Args:
        model: the model whose parameters the optimizer updates.
        optimizer: any optimizer with hooks around its step, as all in ``torch.optim``.
        form: ``"paper"`` or ``"code"``.
        layers: names of modules, as in ``model.named_modules()``; only they and what they contain
            are treated. By default the whole model.
        skip: parameter tensors up to this index are left alone: 3 in the code form, which skips
            four, and -1, none, in the paper form.
        fraction: of the channels that are updated, in (0, 1]; paper form only.
        rate_channel: the probability that a channel is dropped, in [0, 1); code form only.
        rate_layer: the probability that a weight is treated in a step, in [0, 1], or a function
            from the epoch to it, such as :func:`code_schedule`; code form only.
        generator: the source of random numbers on the CPU, by default the global one; needed where
            a process group of several ranks is initialised.

    Raises:
        KeyError: if the model has no module of a name in ``layers``.
        TypeError: if an argument is of the wrong type.
        ValueError: if a number is out of range, an argument belongs to the other form, nothing is
            left to treat, or a generator is needed.

    Example:
        >>> model = nn.Linear(3, 10)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> dropback = ChannelDropBack(model, optimizer, form="paper", fraction=0.7)
        >>> before = model.bias.detach().clone()
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
        >>> (model.bias != before).sum()
        tensor(7)
        >>> dropback.remove()
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        form: Form = "paper",
        *,
        layers: Sequence[str] | None = None,
        skip: int | None = None,
        fraction: float | None = None,
        rate_channel: float | None = None,
        rate_layer: Rate | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if form not in _ARGUMENTS:
            raise ValueError(f"form must be 'paper' or 'code', got {form!r}")
        given = {"fraction": fraction, "rate_channel": rate_channel, "rate_layer": rate_layer}
        for name, value in given.items():
            if value is not None and name not in _ARGUMENTS[form]:
                raise ValueError(f"{name} is of no use in form {form!r}, got {value!r}")
        self.form = form
        self.generator = checked_generator(generator)
        _check_replicas_draw_alike(generator)
        values: dict[str, Any] = dict(_ARGUMENTS[form])
        values |= {name: value for name, value in given.items() if value is not None}
        index = _SKIP[form] if skip is None else checked_integer("skip", skip, -1)
        eligible = _eligible(model, optimizer, layers, index)
        if form == "paper":
            self.fraction = checked_number("fraction", values["fraction"], "(0, 1]")
            self._layers = _channelled(model, eligible)
        else:
            self.rate_channel = checked_number("rate_channel", values["rate_channel"], "[0, 1)")
            self.rate_layer: Rate = values["rate_layer"]
            self._weights = [weight for weight in eligible.values() if weight.ndim >= 2]
        if not (self._layers if form == "paper" else self._weights):
            where = "the model" if layers is None else ", ".join(layers)
            raise ValueError(
                f"no weight is left to treat in form {form!r}: none in {where} has an index above "
                f"{index}, is updated by the optimizer, and is of a kind that the form treats"
            )
        self.set_epoch(0)
        self._kept: list[_KeptChannels] = []
        self._handles = (
            [
                optimizer.register_step_pre_hook(self._save),
                optimizer.register_step_post_hook(self._restore),
            ]
            if form == "paper"
            else [optimizer.register_step_pre_hook(self._edit_gradients)]
        )

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins, counted from 0: a scheduled ``rate_layer`` follows it.

        Raises:
            TypeError: if ``epoch`` is not an int, or the rate not a number.
            ValueError: if ``epoch`` is negative, or the rate lies outside [0, 1].
        """
        self.epoch = checked_integer("epoch", epoch, 0)
        if self.form == "code":
            rate = self.rate_layer(epoch) if callable(self.rate_layer) else self.rate_layer
            self._rate = checked_number(f"rate_layer of epoch {epoch}", rate, "[0, 1]")

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint needs: the epoch, and the state of an own generator."""
        return {"epoch": self.epoch, "generator": generator_state(self.generator)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, with the same draws where the generator is an own one.

        Raises:
            ValueError: if only one of the state and this object has a generator of its own.
        """
        set_generator_state(self.generator, state["generator"])
        self.set_epoch(state["epoch"])

    def remove(self) -> None:
        """Take the hooks off the optimizer; doing so twice is harmless."""
        for handle in self._handles:
            handle.remove()

    def __repr__(self) -> str:
        names = ("fraction", "rate_channel", "rate_layer")
        shown = [f"{name}={getattr(self, name)}" for name in names if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join([f'form={self.form!r}', *shown])})"

    def _save(self, *_: Any) -> None:
        draw = torch.randint(len(self._layers), (1,), generator=self.generator)
        parameters = self._layers[int(draw)]
        channels = len(parameters[0])
        updated = max(1, round(self.fraction * channels))
        kept = torch.randperm(channels, generator=self.generator)[updated:]
        self._kept = [_KeptChannels.of(parameter, kept) for parameter in parameters]

    def _restore(self, *_: Any) -> None:
        for kept in self._kept:
            kept.restore()
        self._kept = []

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


@dataclass(frozen=True)
class _KeptChannels:
    """Channels (dim 0) of a parameter, as they were."""

    parameter: Tensor
    indices: Tensor
    values: Tensor

    @classmethod
    def of(cls, parameter: Tensor, indices: Tensor) -> "_KeptChannels":
        indices = to_device(indices, parameter.device)
        return cls(parameter, indices, parameter.detach().index_select(0, indices))

    def restore(self) -> None:
        self.parameter.detach().index_copy_(0, self.indices, self.values)


def _check_replicas_draw_alike(generator: torch.Generator | None) -> None:
    """Raise ValueError if each of several ranks would draw from a global stream of its own."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if several and generator is None:
        raise ValueError(
            f"{dist.get_world_size()} ranks would update different channels, and their replicas "
            "come apart: give every rank a generator of the same seed"
        )


def _eligible(
    model: nn.Module, optimizer: Optimizer, layers: Sequence[str] | None, skip: int
) -> dict[str, nn.Parameter]:
    """Give the parameters within ``layers`` that may be treated, whatever their shape, by name."""
    model = uncompiled(model)
    updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
    within = None
    if layers is not None:
        within = {
            id(p)
            for name in checked_names("layers", layers)
            for p in find_module(model, name).parameters()
        }
    owners = dict(model.named_modules())
    eligible = {}
    for index, (name, parameter) in enumerate(model.named_parameters()):
        owner, _, own_name = name.rpartition(".")
        excluded = "bias" in own_name or isinstance(owners[owner], nn.modules.batchnorm._BatchNorm)
        chosen = within is None or id(parameter) in within
        if index > skip and chosen and not excluded and id(parameter) in updated:
            eligible[name] = parameter
    return eligible


def _channelled(model: nn.Module, eligible: Mapping[str, nn.Parameter]) -> list[tuple[Tensor, ...]]:
    """Give the weight, and the bias if there is one, of linear and convolutional layers."""
    chosen = {id(parameter) for parameter in eligible.values()}
    return [
        (module.weight,) if module.bias is None else (module.weight, module.bias)
        for module in model.modules()
        if isinstance(module, _CHANNELLED) and id(module.weight) in chosen
    ]
