"""One forward pass of a model with masks: recorded, and at every mask run one way or the other."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from backdrop.layer import Backdrop
from backdrop.mask import mask_gradient
from backdrop.operations.layout import whole_input
from backdrop.survivors.gradient import survivors_only
from backdrop.survivors.known import KnownOperations
from backdrop.survivors.patches import Patches, UnequalStridesError
from backdrop.survivors.recorded import InexactError, Recorded, innermost
from backdrop.survivors.recording import Recording
from backdrop.survivors.skips import Split, split
from backdrop.survivors.stage import Stage
from backdrop.survivors.work import StageWork, stage_work


class ForwardPass:
    """A pass that computes.

    Args:
        names: of modules and mask layers, by id.
        pays: for each mask that will be met, whether its stage is to be run on survivors.
        escapes: for each recording in turn, the nodes that are used after its mask.
        known: what is known of operations.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        pays: Mapping[str, bool],
        escapes: Sequence[frozenset[int]],
        known: KnownOperations,
    ) -> None:
        self.names, self._pays, self._escapes, self.known = names, pays, escapes, known
        self._left, self._begun = len(pays), 0
        self.current: Recording | None = None

    def begin(self, x: Tensor) -> Recorded:
        """Give a stand-in for ``x`` that sets recording going."""
        self.current = Recording(self, x, x.detach()[:0], len(x), whole_input(x.shape))
        self._begun += 1
        return self.current.start

    def at_mask(self, output: Recorded, mask: Tensor) -> Tensor:
        """Compute the stage that ends at a mask; go on recording while there are masks left."""
        recording, name = self.current, running_mask(self.names)
        assert recording is not None
        recording.check_end(output)
        node = recording.node_of(output)
        known = self._escapes[self._begun - 1] if self._begun <= len(self._escapes) else ()
        # Without gradients here, what has some later is computed when it is met.
        on = torch.is_grad_enabled()
        escapes = {node for node in known if on and node < len(recording.nodes)}
        if self._pays.get(name or "", False) and name is not None:
            y = self._on_survivors(recording, node, escapes, _aligned(mask, output))
        else:
            recording.compute({*escapes, node})
            y = recording.values[node]
        y = mask_gradient(y, mask)
        self._left -= name is not None
        if self._left:
            return self.begin(y)
        self.current = None
        return y

    def _on_survivors(
        self, recording: Recording, node: int, escapes: Collection[int], mask: Tensor
    ) -> Tensor:
        def find() -> tuple[Split, Patches | None]:
            found = split(recording, node, escapes)
            return found, patches_of(found.stage, mask) if found.stage.steps else None

        key = self._begun, recording.samples, recording.start.along, mask.shape
        found, patches = self.known.split(key, (node, escapes, recording.content), find)
        recording.run(found.dense, found.wanted)
        x: Tensor = recording.values[found.start]
        if not found.stage.steps:
            return x
        tensors = [recording.tensors[i] for i in found.taken]
        return survivors_only(found.stage, patches, x, tensors, mask)

    def at_end(self, outputs: Sequence[Recorded]) -> None:
        """Compute densely what has met no mask by the end of the model."""
        self.current = None
        by_recording: dict[int, list[Recorded]] = {}
        for output in outputs:
            by_recording.setdefault(id(output.recorder), []).append(output)
        for group in by_recording.values():
            recording = group[0].recorder
            assert isinstance(recording, Recording)
            for output in group:
                recording.check_output(output)
            with torch.enable_grad():  # whatever mode the model left behind
                recording.compute([output.node for output in group])


class TrialPass:
    """A pass that computes nothing, but finds the stages, or what makes survivors inexact.

    Args:
        names: of modules and mask layers, by id.
        masks: how many masks will be met.
        known: what is known of operations.

    Attributes:
        complete: whether all of them were met. What comes after does not matter, but for what it
            uses from before.
    """

    def __init__(self, names: Mapping[int, str], masks: int, known: KnownOperations) -> None:
        self.names, self.known = names, known
        self.current: Recording | None = None
        self._masks = masks
        self._recordings: list[Recording] = []
        self._ends: list[tuple[str, Recording, int, Tensor, Tensor]] = []

    @property
    def complete(self) -> bool:
        """Say whether all masks were met."""
        return len(self._ends) >= self._masks

    def begin(self, probe: Tensor, samples: int) -> Recorded:
        """Give a stand-in for a tensor of ``samples`` samples that is otherwise like ``probe``."""
        along = whole_input((samples, *probe.shape[1:]))
        self.current = Recording(self, None, probe, samples, along)
        self._recordings.append(self.current)
        return self.current.start

    def at_mask(self, output: Recorded, mask: Tensor) -> Recorded:
        """Note the mask and the recording that ends there."""
        recording, name = self.current, running_mask(self.names)
        assert recording is not None
        recording.check_end(output)
        if name is not None and not self.complete:
            node = recording.node_of(output)
            self._ends.append((name, recording, node, output.probe, _aligned(mask, output)))
        return self.begin(output.probe, recording.samples)

    def stages(self) -> list[StageWork]:
        """Give the work on the stages of the masks, in the order in which they were met.

        Raises:
            InexactError: if a stage cannot be run on the survivors of its mask.
        """
        return [self._work(*end) for end in self._ends]

    def _work(
        self, name: str, recording: Recording, node: int, probe: Tensor, mask: Tensor
    ) -> StageWork:
        found = split(recording, node, recording.escapes)
        patches = patches_of(found.stage, mask)
        first = recording is self._recordings[0]
        needs_input = not first or recording.start.probe.requires_grad or bool(found.dense)
        past = bool(found.dense or recording.escapes)
        tensors = [recording.tensors[i] for i in found.taken]
        return stage_work(
            name, probe, recording.samples, found.stage, patches, tensors,
            needs_input, past,
        )  # fmt: skip

    @property
    def escapes(self) -> list[frozenset[int]]:
        """Give for each recording the nodes that were used after its mask."""
        return [frozenset(recording.escapes) for recording in self._recordings]

    def at_end(self, outputs: Sequence[Recorded]) -> None:
        """Raise InexactError if what has met no mask by the end of the model were inexact."""
        for output in outputs:
            recording = output.recorder
            assert isinstance(recording, Recording)
            if recording is not self.current:
                recording.escapes.add(output.node)
            if self._ends:
                recording.check_output(output)


def running_mask(names: Mapping[int, str]) -> str | None:
    """Give the name of the mask layer that is running; None if ``mask_gradient`` was called."""
    module = innermost(names)
    return names[id(module)] if isinstance(module, Backdrop) else None


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
    step, merging = stage.coupled, stage.merging
    what, where, why = "the stage", "?", "its output has no positions, or strides meet in it"
    if stage.has_positions:
        try:
            return Patches(stage)
        except UnequalStridesError:
            pass
    elif step is not None:
        what, where, why = step.name, step.module, step.operation.couples
    elif merging is not None:
        what, where, why = merging.name, merging.module, "it merges positions with other dims"
    if mask.numel() > len(mask):  # it masks more than whole samples
        raise InexactError(what, where, why)
    return None
