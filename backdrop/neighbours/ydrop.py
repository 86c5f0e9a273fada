"""Y-Drop: dropout that takes the more important units of a layer more often."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backdrop.arguments import checked_integer, checked_names, checked_number
from backdrop.generators import checked_generator, generator_state, set_generator_state
from backdrop.module_names import find_module
from backdrop.neighbours.conductance import conductances
from backdrop.never_called import why_never_called
from backdrop.placement import place, uncompiled

Scale = Literal["exact", "ema"]

_WARMUP_P = 0.5
_LOW = 0.10, 0.5  # least and greatest drop probability of the lower half
_HIGH = 0.60, 0.9
_SPREAD = 0.05


class YDrop:
    r"""Drops units of hidden linear layers in training, those of high conductance more often.

    It takes the place of dropout after these layers; set the model's own to zero. :meth:`update`
    belongs before the forward pass of each step. It ranks the units of each layer by their mean
    :func:`~backdrop.conductances` over part of the batch, in one pass for all layers. The lower
    half, ``units // 2``, is dropped with probability p_low and the upper half with p_high, drawn
    anew for each layer and step:

    .. math:: p_\text{low} = c \min(0.10 + |\epsilon|, 0.5), \quad
        p_\text{high} = c \min(0.60 + |\epsilon'|, 0.9), \quad
        \epsilon, \epsilon' \sim \mathcal{N}(0, 0.05^2),

    with c the ``strength``. In training the output h of a layer, before its activation, becomes

    .. math:: h_k m_k / s_k, \qquad m_k \sim \mathrm{Bernoulli}(1 - p_k),

    with a mask for each sample (and position) and s by ``scale``:

    - ``"exact"``: :math:`s_k = 1 - p_k`, so that the mean over masks is h;
    - ``"ema"``: a running mean, :math:`s_k \leftarrow (1 - \alpha) s_k + \alpha (1 - p_k)` from 0.5
      on. For small alpha it lags, by up to 22 % of the layer's output, which evaluation does not.

    In eval mode, and so in the pass that measures conductances, it is the identity. From Georgiou,
    Paraskevopoulos & Potamianos, Y-Drop: A Conductance based Dropout for fully connected layers,
    arXiv:2409.09088; this follows an author's older code and summaries, which have ``strength=1``
    and ``scale="ema"``, with an alpha from 1e-2 to 1e-6. The paper's own settings are unknown;
    ``scale="exact"`` and weaker strengths are ours.

    Layers of the drop are placed by forward hooks, as by :func:`~backdrop.place`: names and
    state_dict of the model stay as they are. Masks come from torch's global stream, as those of
    ``nn.Dropout``. Works under autocast, activation checkpointing and ``torch.compile``; compile
    after this.

    Args:
        model: a model with logits (N, C), or scores (N,) or (N, 1).
        layers: names of the linear layers. By default all but the last one of the model, in the
            order of ``model.named_modules()``; without those whose weights alone are used, as
            within ``nn.MultiheadAttention``.
        warmup: for so many updates plain dropout with p = 0.5, before anything is measured.
        every: conductances are measured at one of so many updates, and their ranks used at the
            others; probabilities are drawn at each.
        n: the number of steps on the path from a zero input.
        samples: conductances are measured on the first so many samples of the batch.
        strength: the factor on p_low and p_high, in (0, 1]; without effect on the warm-up.
        scale: ``"exact"`` or ``"ema"``.
        alpha: the weight of the newest value in ``"ema"``, in (0, 1]; without effect otherwise.
        generator: the source of p_low and p_high, by default torch's global stream on the CPU.

    Attributes:
        layers: the names of the layers.
        conductances: for each layer the (units,) mean conductances last measured; empty before.

    Raises:
        KeyError: if the model has no module of a name in ``layers``.
        TypeError: if an argument is of the wrong type, or a layer not an ``nn.Linear``.
        ValueError: if a number is out of range, the model has no hidden linear layer, or a layer
            never runs.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> ydrop = YDrop(model)
        >>> inputs, targets = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
        >>> ydrop.update(inputs, targets)
        >>> nn.functional.cross_entropy(model(inputs), targets).backward()
        >>> (ydrop.probabilities["0"] >= 0.6).sum()
        tensor(4)
        >>> ydrop.remove()
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str] | None = None,
        *,
        warmup: int = 0,
        every: int = 1,
        n: int = 5,
        samples: int = 12,
        strength: float = 1.0,
        scale: Scale = "exact",
        alpha: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        self.warmup = checked_integer("warmup", warmup, 0)
        self.every = checked_integer("every", every, 1)
        self.n = checked_integer("n", n, 1)
        self.samples = checked_integer("samples", samples, 1)
        self.strength = checked_number("strength", strength, "(0, 1]")
        if scale not in ("exact", "ema"):
            raise ValueError(f"scale must be 'exact' or 'ema', got {scale!r}")
        self.scale = scale
        self.alpha = checked_number("alpha", alpha, "(0, 1]")
        self.generator = checked_generator(generator)
        self.model = uncompiled(model)
        linear = _linear_layers(self.model, layers)
        self.layers = list(linear)
        self.conductances: dict[str, Tensor] = {}
        self._updates = 0
        self._drops = {name: _UnitDropout(layer.out_features) for name, layer in linear.items()}
        self._placement = place(self.model, self._drops)

    def update(self, inputs: Tensor, targets: Tensor) -> None:
        """Set the drop probabilities for the step on a batch; call it before the forward pass.

        Raises:
            TypeError: if ``inputs`` are not of floating point.
            ValueError: if a layer does not run once in a forward pass, or targets or outputs are
                not as :func:`~backdrop.conductances` needs them.
        """
        steps = self._updates - self.warmup
        if steps >= 0 and steps % self.every == 0:
            part = inputs[: self.samples], targets[: self.samples]
            found = conductances(self.model, self.layers, *part, n=self.n)
            self.conductances = {name: y.flatten(0, -2).mean(0) for name, y in found.items()}
        self._updates += 1
        for name, conductance in self.conductances.items():
            self._drops[name].set(1 - self._draw(conductance), self._alpha)

    @property
    def probabilities(self) -> dict[str, Tensor]:
        """Give the (units,) drop probabilities of each layer."""
        return {name: 1 - drop.keep for name, drop in self._drops.items()}

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint needs to go on exactly."""
        return {
            "updates": self._updates,
            "conductances": dict(self.conductances),
            "keep": {name: drop.keep for name, drop in self._drops.items()},
            "scale": {name: drop.scale for name, drop in self._drops.items()},
            "generator": generator_state(self.generator),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: if it belongs to other layers, or only one of the state and this object has
                a generator of its own.
        """
        if list(state["keep"]) != self.layers:
            raise ValueError(
                f"the saved state is of layers {list(state['keep'])}, not {self.layers}"
            )
        set_generator_state(self.generator, state["generator"])
        self._updates = state["updates"]
        self.conductances = dict(state["conductances"])
        for name, drop in self._drops.items():
            drop.keep, drop.scale = state["keep"][name], state["scale"][name]

    def remove(self) -> None:
        """Take the drop off the model; doing so twice is harmless."""
        self._placement.remove()

    @property
    def _alpha(self) -> float:
        return 1.0 if self.scale == "exact" else self.alpha

    def _draw(self, conductance: Tensor) -> Tensor:
        """Draw the drop probabilities of a layer's units."""
        device = None if self.generator is None else self.generator.device
        noise = torch.randn(2, generator=self.generator, device=device).abs() * _SPREAD
        low, high = (
            self.strength * min(least + extra, most)
            for (least, most), extra in zip((_LOW, _HIGH), noise.tolist(), strict=True)
        )
        upper = conductance.argsort(stable=True)[len(conductance) // 2 :]
        return torch.full_like(conductance, low, dtype=torch.float32).index_fill(0, upper, high)


class _UnitDropout(nn.Module):
    """Dropout with a probability for each unit, the last dim."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.keep = torch.full((units,), 1 - _WARMUP_P)  # no buffers: the model shall not save them
        self.scale = torch.full((units,), 1 - _WARMUP_P)

    def set(self, keep: Tensor, alpha: float) -> None:
        self.keep = keep
        self.scale = (1 - alpha) * self.scale.to(keep.device) + alpha * keep

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mask = torch.rand(x.shape, device=x.device) < self.keep.to(x.device)
        # In float32 up to here: half-precision weights would bias the mean.
        return (x * (mask / self.scale.to(x.device))).to(x.dtype)


def _linear_layers(model: nn.Module, names: Sequence[str] | None) -> dict[str, nn.Linear]:
    if names is None:
        names = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and why_never_called(model, name) is None
        ][:-1]
        if not names:
            raise ValueError(f"{type(model).__name__} has no hidden linear layer: fewer than two")
    layers = {}
    for name in checked_names("layers", names):
        layer = find_module(model, name)
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"module {name!r} must be an nn.Linear, got {type(layer).__name__}")
        layers[name] = layer
    return layers
