"""ChannelDropBack: forward and backward as usual, but a step updates some channels only."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from backdrop.arguments import checked_integer, checked_number
from backdrop.neighbours.channel_dropback_code import CodeChannelDropBack, Rate
from backdrop.neighbours.step_hooks import StepHooks, eligible_parameters, nothing_left
from backdrop.placement import uncompiled
from backdrop.transfer import to_device

Form = Literal["paper", "code"]

_LINEAR = (nn.Linear,)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_OF_LAYERS = ("weight", "bias", "parametrizations.")  # beginnings of their parameters' names


class PaperChannelDropBack(StepHooks):
    """Has an optimizer leave random output channels of one layer as they were in each step.

    From Neiterman & Ben-Artzi, ChannelDropBack: Forward-Consistent Stochastic Regularization for
    Deep Networks, arXiv:2411.10891, as described there; :class:`CodeChannelDropBack` is their
    program. A step picks one linear or convolutional layer uniformly and ``round(fraction *
    channels)`` of its output channels, at least one. The others keep weights and biases as they
    were, bit for bit, since these are saved before the step and restored after it; all other layers
    are updated as usual, and nothing is scaled. Momentum buffers and other state of the optimizer
    go on as usual, for kept channels as well.

    Of a parametrised weight the parameters that it is computed from keep their channels. The weight
    does too where each channel is computed from its own parameters, as by ``weight_norm``; where
    channels are coupled, as by ``spectral_norm``, it moves with the others.

    Unknown are the size of the paper's subset (0.7 is ours), whether it treats biases (ours go with
    their channel), and which form gave the published results.

    Works with gradient accumulation, clipping before the step, closures,
    ``torch.amp.GradScaler``, fused and foreach optimizers, and compiled models. Random numbers are
    drawn on the CPU, from the global stream or the own generator, and a GPU is not waited for.
    Replicas in distributed training draw for themselves: unless every rank has a generator of the
    same seed, they come apart.

    Args:
        model: the model whose parameters the optimizer updates.
        optimizer: any optimizer with hooks around its step, as all in ``torch.optim``.
        layers: names of modules, as in ``model.named_modules()``; only they and what they contain
            are treated. By default the whole model.
        skip: parameter tensors up to this index are left alone; -1 leaves none.
        fraction: of the channels that are updated, in (0, 1].
        generator: the source of random numbers on the CPU, by default the global one; needed where
            a process group of several ranks is initialised.

    Raises:
        KeyError: if the model has no module of a name in ``layers``.
        TypeError: if an argument is of the wrong type.
        ValueError: if a number is out of range, nothing is left to treat, a generator is needed, or
            a layer is parametrised otherwise than by output channels.

    Example:
        >>> model = nn.Linear(3, 10)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> dropback = PaperChannelDropBack(model, optimizer, fraction=0.7)
        >>> before = model.bias.detach().clone()
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
        >>> (model.bias != before).sum()
        tensor(7)
        >>> dropback.remove()
    """

    form = "paper"

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        layers: Sequence[str] | None = None,
        skip: int = -1,
        fraction: float = 0.7,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(optimizer, generator)
        skip = checked_integer("skip", skip, -1)
        self.fraction = checked_number("fraction", fraction, "(0, 1]")
        eligible = eligible_parameters(model, optimizer, layers, skip)
        self._layers = _channelled(uncompiled(model), eligible)
        if not self._layers:
            raise nothing_left(self.form, layers, skip)
        self.set_epoch(0)
        self._kept: list[_KeptChannels] = []
        self._handles = self._register(optimizer)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(fraction={self.fraction})"

    def _register(self, optimizer: Optimizer) -> list[RemovableHandle]:
        return [
            optimizer.register_step_pre_hook(self._save),
            optimizer.register_step_post_hook(self._restore),
        ]

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


def ChannelDropBack(
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
) -> PaperChannelDropBack | CodeChannelDropBack:
    """Give one of the two forms of ChannelDropBack by its name, as configurations do.

    Args:
        model: as for either form, as ``optimizer``, ``layers`` and ``generator``.
        form: ``"paper"`` for :class:`PaperChannelDropBack`, which takes ``fraction``, or ``"code"``
            for :class:`CodeChannelDropBack`, which takes ``rate_channel`` and ``rate_layer``.
        skip: by default that of the form.

    Raises:
        ValueError: if the form is unknown, or an argument belongs to the other one.

    Example:
        >>> model = nn.Linear(3, 10)
        >>> ChannelDropBack(model, torch.optim.SGD(model.parameters(), lr=0.1))
        PaperChannelDropBack(fraction=0.7)
    """
    forms = {each.form: each for each in (PaperChannelDropBack, CodeChannelDropBack)}
    if form not in forms:
        raise ValueError(f"form must be 'paper' or 'code', got {form!r}")
    own = {"fraction": fraction, "rate_channel": rate_channel, "rate_layer": rate_layer}
    chosen = {"layers": layers, "skip": skip, "generator": generator, **own}
    given = {name: value for name, value in chosen.items() if value is not None}
    for name, value in given.items():
        if name not in inspect.signature(forms[form]).parameters:
            raise ValueError(f"{name} is of no use in form {form!r}, got {value!r}")
    make: Any = forms[form]
    made: PaperChannelDropBack | CodeChannelDropBack = make(model, optimizer, **given)
    return made


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


def _channelled(model: nn.Module, eligible: Mapping[str, nn.Parameter]) -> list[tuple[Tensor, ...]]:
    """Give what weight and bias are made of, of linear and convolutional layers."""
    chosen = {id(parameter) for parameter in eligible.values()}
    found: list[tuple[Tensor, ...]] = []
    for name, module in model.named_modules():
        if not isinstance(module, _LINEAR + _CONVOLUTIONS):
            continue
        own = {n: p for n, p in module.named_parameters() if n.startswith(_OF_LAYERS)}
        if any(id(p) in chosen and "bias" not in own_name for own_name, p in own.items()):
            _check_channels_first(name, module, own)
            found.append(tuple(own.values()))
    return found


def _check_channels_first(name: str, module: nn.Module, own: Mapping[str, Tensor]) -> None:
    channels = module.out_features if isinstance(module, _LINEAR) else module.out_channels
    for own_name, parameter in own.items():
        if parameter.shape[:1] != (channels,):
            raise ValueError(
                f"layer {name!r} has no {channels} output channels along dim 0 of its parameter "
                f"{own_name}, of shape {tuple(parameter.shape)}: name other ones by layers"
            )
