"""One forward pass of a model with masks: recorded, and at every mask run one way or the other."""

from collections.abc import Mapping

import torch
from torch import Tensor

from backdrop.mask import mask_gradient
from backdrop.survivors.gradient import survivors_only
from backdrop.survivors.patches import Patches, UnequalStridesError
from backdrop.survivors.recorded import InexactError, Recorded, running_module
from backdrop.survivors.recording import Recording
from backdrop.survivors.stage import Stage
from backdrop.survivors.work import StageWork, stage_work


class ForwardPass:
    """A pass that computes.

    Args:
        names: of modules and mask layers, by id.
        pays: for each mask that will be met, whether its stage is to be run on survivors.
    """

    def __init__(self, names: Mapping[int, str], pays: Mapping[str, bool]) -> None:
        self.names, self._pays = names, pays
        self._left = len(pays)

    def begin(self, x: Tensor) -> Recorded:
        """Give a stand-in for ``x`` that sets recording going."""
        return Recording(self, x, x.detach()[:0], len(x)).start

    def at_mask(self, recording: Recording, output: Recorded, mask: Tensor) -> Tensor:
        """Compute the stage that ends at a mask; go on recording while there are masks left."""
        stage = recording.end(output)
        aligned = _aligned(mask, output)
        patches = patches_of(stage, aligned)
        x, tensors = _source(recording), recording.tensors
        if self._pays.get(running_module(self.names), False) and stage.steps:
            y = survivors_only(stage, patches, x, tensors, aligned)
        else:
            y = stage.run(x, tensors)
        y = mask_gradient(y, mask)
        self._left -= 1
        return self.begin(y) if self._left else y

    def at_end(self, output: Recorded) -> Tensor:
        """Compute densely what has met no mask by the end of the model."""
        recording = output.recorder
        assert isinstance(recording, Recording)
        with torch.enable_grad():  # whatever mode the model left behind
            return recording.end(output).run(_source(recording), recording.tensors)


class TrialPass:
    """A pass that computes nothing, but finds the stages, or what makes survivors inexact.

    Args:
        names: of modules and mask layers, by id.
        masks: how many masks will be met.

    Attributes:
        met: the stages of the masks in the order in which they were met.
    """

    def __init__(self, names: Mapping[int, str], masks: int) -> None:
        self.names = names
        self.met: list[StageWork] = []
        self._masks = masks

    def begin(self, probe: Tensor, samples: int) -> Recorded:
        """Give a stand-in for a tensor of ``samples`` samples that is otherwise like ``probe``."""
        return Recording(self, None, probe, samples).start

    def at_mask(self, recording: Recording, output: Recorded, mask: Tensor) -> Tensor:
        """Note the mask and its stage; end the pass at the last one."""
        stage = recording.end(output)
        patches = patches_of(stage, _aligned(mask, output))
        name = running_module(self.names)
        needs_input = recording.start.probe.requires_grad or bool(self.met)
        work = stage_work(
            name, output.probe, recording.samples, stage, patches, recording.tensors, needs_input
        )
        self.met.append(work)
        if len(self.met) == self._masks:
            raise AllMet
        return self.begin(output.probe, recording.samples)

    def at_end(self, output: Recorded) -> None:
        """Raise InexactError if what has met no mask by the end of the model were inexact."""
        recording = output.recorder
        assert isinstance(recording, Recording)
        if self.met:
            with torch.enable_grad():
                recording.leading_to(output)


class AllMet(Exception):
    """Ends a trial pass: what lies above the last mask does not matter."""


def _source(recording: Recording) -> Tensor:
    if recording.source is None:
        raise RuntimeError("nothing can be computed in a trial pass")
    return recording.source


def _aligned(mask: Tensor, output: Recorded) -> Tensor:
    """Give a mask on the output's device, and with as many dims: its own are the last ones."""
    aligned = (1,) * (output.ndim - mask.ndim) + tuple(mask.shape)
    return mask.to(output.device).reshape(aligned)


def patches_of(stage: Stage, mask: Tensor) -> Patches | None:
    """Give the patches of a stage, None if only whole samples can be run again.

    Args:
        stage: the stage.
        mask: that which masks the gradient of its output, with as many dims as the output.

    Raises:
        InexactError: if the mask tells positions apart and the stage couples them.
    """
    step = stage.coupled
    what, where, why = "the stage", "?", "its output has no positions, or strides meet in it"
    if stage.has_positions:
        try:
            return Patches(stage)
        except UnequalStridesError:
            pass
    elif step is not None:
        what, where, why = step.name, step.module, step.operation.couples
    if mask.numel() > len(mask):  # it masks more than whole samples
        raise InexactError(what, where, why)
    return None
