"""Puts survivors on a model and takes it off again."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from backdrop.layer import Backdrop
from backdrop.placement import placed_layers, placed_on, uncompiled
from backdrop.stratified import StratifiedBackdrop
from backdrop.survivors.forward import ForwardPass, TrialPass
from backdrop.survivors.known import KnownOperations
from backdrop.survivors.recorded import InexactError, Recorded, recorded_in
from backdrop.survivors.regions import differentiated
from backdrop.survivors.work import StageWork, paying
from backdrop.torch_private import function_transforms_active, is_compiled, tree_map_only

# Of how many kinds of input (sizes, dtypes, ...) a handle remembers the stages.
KNOWN = 64


class Plan(NamedTuple):
    """What a trial pass found: the stages of the masks, and what leads round each."""

    stages: Sequence[StageWork]
    escapes: Sequence[frozenset[int]]


def survivors(model: nn.Module, always: bool = False) -> "Survivors":
    r"""Let the backward passes of a model skip what its masks have masked.

    The masks draw what they would draw otherwise, and gradients agree with those of the dense
    backward pass to rounding. A stage, from one mask or the input to the next mask, keeps its input
    alone. With a share s of survivors, each of which sees r times its share of the stage's
    operations, the time of a step falls from 3 to about 1 + 3 r s.

    Exact are stages of convolutions, poolings, pointwise operations, slices, sums, concatenations,
    linear layers, normalisation over channels and frozen batch normalisation; below masks of whole
    samples also what couples positions within one, as global pooling, flattening, enlarging and
    group normalisation. What skip connections lead round a mask is run densely, and the stage
    begins after it. All else is refused, as are parts under ``torch.no_grad``, autograd functions
    of the model's own and hooks on gradients: see :func:`why_inexact`. What lies above the last
    mask does not matter.

    No ``torch.compile``, ``torch.func`` or second derivatives: they raise, and so does this on a
    model with compiled modules. ``torch.compile`` of the model afterwards raises only with
    ``fullgraph=True``; otherwise it runs the model uncompiled, on survivors. Wrappers that it made
    of the model before, and that have been called, keep their dense backward pass.

    Args:
        model: a model with :class:`~backdrop.Backdrop` layers, placed or among its modules, that is
            called with one tensor (N, …).
        always: run every stage again on survivors, also where this is more work.

    Returns:
        A handle, with ``used`` and ``remove()``, called by itself at the end of a ``with`` block.

    Raises:
        RuntimeError: if the model or one of its modules is compiled.
        InexactError: in the forward pass, if the gradients could not be exact: it names the module.

    Example:
        >>> from backdrop import Backdrop, place
        >>> model = nn.Sequential(nn.Conv2d(3, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 8, 3))
        >>> _ = place(model, {"1": Backdrop(0.95, "sample+spatial")})
        >>> skip = survivors(model)
        >>> model(torch.randn(32, 3, 128, 128)).sum().backward()
        >>> skip.used
        {'1': 'survivors'}
    """
    return Survivors(model, always)


def why_inexact(model: nn.Module, input_shape: Sequence[int]) -> str | None:
    """Say why :func:`survivors` would refuse a model with its masks; None if it is exact.

    A copy of the model that shares its weights runs once in its present mode, without data and on
    no samples, up to the last mask that is active.

    Args:
        model: any model with masks.
        input_shape: (N, …), as the model is called.

    Example:
        >>> from backdrop import Backdrop
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), Backdrop(0.9), nn.ReLU())
        >>> why_inexact(model, (4, 3, 32, 32)).split(":")[0]
        "survivors is not exact for aten.native_batch_norm in module '1'"
        >>> why_inexact(model.eval(), (4, 3, 32, 32)) is None
        True
    """
    try:
        would_use(model, input_shape)
    except InexactError as error:
        return str(error)
    return None


def would_use(model: nn.Module, input_shape: Sequence[int], always: bool = False) -> dict[str, str]:
    """Say what :func:`survivors` would do at each active mask, ``"survivors"`` or ``"dense"``.

    Like :func:`why_inexact` it computes nothing. Ask under autocast where the model is called so.

    Args:
        model: any model with masks, in the mode in question.
        input_shape: (N, …), as the model is called.
        always: as :func:`survivors` would be told.

    Raises:
        InexactError: if the gradients could not be exact.
    """
    weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    plan = _trial(model, weight.new_empty((0, *input_shape[1:])), input_shape[0], KnownOperations())
    return _use(plan.stages, active_masks(model), always)


def active_masks(model: nn.Module) -> dict[str, Backdrop]:
    """Give the masks that the next forward pass will draw or take as given, by name."""
    return {
        name: layer
        for name, module in model.named_modules()
        for layer in (module, *placed_on(module))
        if isinstance(layer, Backdrop)
        and (layer.fixed_mask is not None or (module.training and layer.p > 0))
    }


class Survivors:
    """What :func:`survivors` put on a model; also a context manager.

    Attributes:
        used: what the last forward pass did at each active mask, ``"survivors"`` or ``"dense"``.
    """

    def __init__(self, model: nn.Module, always: bool) -> None:
        _refuse_compiled(model)
        self._always = always
        self.used: dict[str, str] = {}
        self._running: ForwardPass | None = None
        self._stages: dict[Any, Plan] = {}
        self._known = KnownOperations()
        self._handles = (
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end, always_call=True),
        )

    def remove(self) -> None:
        """Let backward passes be dense again; doing so twice is harmless."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def _begin(self, model: nn.Module, args: Any, kwargs: Any) -> Any:
        if recorded_in(args):  # a trial pass
            return None
        self.used = {}
        masks = active_masks(model)
        if not masks or not torch.is_grad_enabled():
            return None
        _refuse_transforms()
        if not differentiated():
            return None
        if len(args) != 1 or kwargs or not isinstance(args[0], Tensor):
            raise TypeError("survivors needs a model that is called with one tensor, by position")
        (x,) = args
        if not x.is_floating_point() or x.ndim == 0:
            raise TypeError(f"survivors needs a floating-point batch as input, got {x.dtype}")
        plan = self._look_ahead(model, x, masks)
        self.used = _use(plan.stages, masks, self._always)
        chosen = {name: use == "survivors" for name, use in self.used.items()}
        if not any(chosen.values()):
            return None
        self._running = ForwardPass(_names(model), chosen, plan.escapes, self._known)
        return (self._running.begin(x),), kwargs

    def _look_ahead(self, model: nn.Module, x: Tensor, masks: Mapping[str, Backdrop]) -> Plan:
        """Give the stages that an input will meet, from a trial unless they are known."""
        needs = tuple(p.requires_grad for p in model.parameters())
        device = x.device.type
        autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        key = (tuple(x.shape), x.dtype, x.requires_grad, needs, tuple(masks), autocast)
        plan = self._stages.pop(key, None)
        if plan is None:
            probe = x.detach()[:0].requires_grad_(x.requires_grad)
            plan = _trial(model, probe, len(x), self._known)
        self._stages[key] = plan  # at the end: the first one is that which was longest unused
        if len(self._stages) > KNOWN:
            del self._stages[next(iter(self._stages))]
        return plan

    def _end(self, model: nn.Module, args: Any, output: Any) -> Any:
        running, self._running = self._running, None
        if not running:
            return None
        running.at_end(recorded_in(output))
        return tree_map_only(Recorded, _computed, output)


def _computed(output: Recorded) -> Any:
    return output.recorder.computed(output)


def _use(
    stages: Sequence[StageWork], masks: Mapping[str, Backdrop], always: bool
) -> dict[str, str]:
    """Say what is done at each mask; one that the model does not meet is dense."""
    pays = paying(stages, masks)
    chosen = {name for name in pays if always or pays[name]}
    return {name: "survivors" if name in chosen else "dense" for name in masks}


def _trial(model: nn.Module, probe: Tensor, samples: int, known: KnownOperations) -> Plan:
    """Run a copy of a model without data."""
    # What the model keeps from this pass, and what its masks draw, stays out of the original.
    model = _copied(model)
    masks = active_masks(model)
    if not masks:
        return Plan([], [])
    for mask in masks.values():
        if isinstance(mask, StratifiedBackdrop):
            mask.groups = torch.zeros(samples, dtype=torch.int64)  # without data there are none
    trial = TrialPass(_names(model), len(masks), known)
    devices = [probe.device] if probe.is_cuda else []
    # As where the model is trained, wherever it is asked: inference mode off is gradients on.
    with torch.random.fork_rng(devices), torch.inference_mode(False):
        try:
            trial.at_end(recorded_in(model(trial.begin(probe, samples))))
        except Exception:
            # What lies above the last mask may be anything, but for what it uses from below.
            if not trial.complete:
                raise
        return Plan(trial.stages(), trial.escapes)


def _copied(model: nn.Module) -> nn.Module:
    """Copy a model that shares its weights, and results that it keeps, with the original."""
    kept = (value for module in model.modules() for value in vars(module).values())
    results = (value for value in kept if isinstance(value, Tensor) and not value.is_leaf)
    try:
        shared = {id(p): _for_autograd(p) for p in model.parameters()}
        return copy.deepcopy(model, shared | {id(t): t for t in results})
    except Exception as error:
        why = f"a copy is needed to look ahead, and {type(error).__name__}: {error}"
        raise InexactError("a model that cannot be copied", type(model).__name__, why) from error


def _for_autograd(parameter: nn.Parameter) -> Tensor:
    """Give a parameter, or a copy of one that was made in inference mode."""
    if not parameter.is_inference():
        return parameter
    with torch.inference_mode(False):
        return nn.Parameter(parameter.clone(), parameter.requires_grad)


def _names(model: nn.Module) -> dict[int, str]:
    """Give the names of modules, and of layers placed on them, by id."""
    names = {id(module): name for name, module in model.named_modules()}
    return names | {id(layer): name for name, _, layer in placed_layers(model)}


def _refuse_compiled(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if uncompiled(module) is not module or is_compiled(module):
            raise RuntimeError(
                f"survivors needs models as they were before torch.compile, and module {name!r} "
                "is compiled"
            )


def _refuse_transforms() -> None:
    if torch.compiler.is_compiling():
        what = "torch.compile cannot trace"
    elif function_transforms_active():
        what = "torch.func cannot transform"
    else:
        return
    raise RuntimeError(f"{what} a model under survivors: remove() it, and masks work as before")
