"""A step with masks: dense, as published, and through survivors, between its two limits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from backdrop import Backdrop, place
from backdrop import survivors as skip_masked
from backdrop.losses import auc_loss
from backdrop.models import MLP, SmallConvNet, TextureNet
from experiments.bench.memory import PEAK, SAVED, peak_bytes, saved_bytes
from experiments.bench.published import PublishedBackdrop
from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import alternating
from experiments.precision import has_fast_bfloat16

DENSE, OURS = "dense mask", "survivors"
NONE, FORWARD, PUBLISHED = "no mask", "forward only", "published formulation"


@dataclass(frozen=True)
class Task:
    """A net with places for masks, and what it is trained on.

    Attributes:
        model: makes the net.
        shape: of the batch.
        loss: takes outputs and targets.
        targets: gives them for a number of samples.
        masks: the places, named as in the columns of the table.
        dims: what the masks tell apart.
        probabilities: one for each place.
        memory: what is measured, the peak of a step or what is saved.
    """

    name: str
    model: Callable[[], nn.Module]
    shape: tuple[int, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    targets: Callable[[int], Tensor]
    masks: dict[str, str]
    dims: str
    probabilities: Sequence[tuple[float, ...]]
    memory: str
    bfloat16: bool = False


def _few_positives(n: int) -> Tensor:
    return torch.arange(n) % 100 == 0


_BY_SAMPLE = [(0.2,), (0.5,), (0.8,), (0.9,), (0.95,), (0.98,)]
_SAMPLES = partial(
    Task, loss=auc_loss, targets=_few_positives, masks={"p": ""}, dims="sample",
    probabilities=_BY_SAMPLE, memory=SAVED,
)  # fmt: skip
TEXTURES = Task(
    "textures_1024",
    partial(TextureNet, channels=64, fine_layers=5, coarse_layers=3, norm="none"),
    (2, 1, 1024, 1024),
    nn.functional.cross_entropy,
    lambda n: torch.arange(n) % 4,
    {"p_fine": "fine", "p_coarse": "coarse"},
    "sample+spatial",
    [*((p, 0.0) for p in (0.2, 0.5, 0.8, 0.9, 0.95)), *((p, 0.9) for p in (0.5, 0.8, 0.95, 0.99))],
    PEAK,
)
TASKS = (
    _SAMPLES("small_conv", SmallConvNet, (1000, 3, 32, 32)),
    _SAMPLES("mlp", partial(MLP, 64, [64, 64]), (800, 64)),
    TEXTURES,
    replace(TEXTURES, name="textures_1024_bfloat16", bfloat16=True),
)


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare the variants at growing probabilities on every task."""
    for task in TASKS:
        if task.bfloat16 and not has_fast_bfloat16(setting.device):
            continue
        if setting.smoke:
            n, channels, *sides = task.shape
            task = replace(task, shape=(min(n, 100), channels, *(min(side, 64) for side in sides)))
            task = replace(task, probabilities=task.probabilities[-1:])
        for probabilities in task.probabilities:
            yield _case(task, dict(zip(task.masks, probabilities, strict=True)), setting)


def _case(task: Task, p: dict[str, float], setting: Setting) -> list[Row]:
    steps = {
        NONE: _Step(task, setting),
        DENSE: _Step(task, setting),
        PUBLISHED: _Step(task, setting),
        OURS: _Step(task, setting),
    }
    place(steps[DENSE].model, _layers(task, p))
    place(steps[OURS].model, _layers(task, p))
    place(steps[PUBLISHED].model, _published(task, p))
    skipping = skip_masked(steps[OURS].model)
    variants: dict[str, Callable[[], object]] = {**steps, FORWARD: steps[NONE].forward}
    times = alternating(variants, setting.seconds, setting.fewest, device=setting.device)
    if task.memory == SAVED:
        memory = {name: float(saved_bytes(step.loss)) for name, step in steps.items()}
        memory[FORWARD] = 0.0
    else:
        memory = {name: peak_bytes(run, setting.device) for name, run in variants.items()}
    found = rows(
        f"survivors/{task.name}", ", ".join(f"{k} {v:g}" for k, v in p.items()), times, DENSE,
        memory, task.memory, **p,
    )  # fmt: skip
    for row in found:
        if row["variant"] == OURS:
            row["note"] = ", ".join(f"{k or 'scores'}: {v}" for k, v in skipping.used.items())
    return found


class _Step:
    """A step of a task; layers are put on its model."""

    def __init__(self, task: Task, setting: Setting) -> None:
        torch.manual_seed(0)
        self._task, self._device = task, setting.device
        self.model = task.model().to(setting.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(task.shape, device=setting.device)
        self._x = x.to(memory_format=torch.channels_last) if x.ndim == 4 else x
        self._targets = task.targets(len(x)).to(setting.device)
        self._optimizer = torch.optim.Adam(self.model.parameters(), fused=True)

    def loss(self) -> Tensor:
        """Compute the loss."""
        with torch.autocast(self._device, torch.bfloat16, enabled=self._task.bfloat16):
            outputs = self.model(self._x)
        return self._task.loss(outputs.float(), self._targets)

    @torch.no_grad()
    def forward(self) -> None:
        """Compute the loss without a graph: what no step can do without."""
        self.loss()

    def __call__(self) -> None:
        """Make an update."""
        self._optimizer.zero_grad()
        self.loss().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()


def _layers(task: Task, p: dict[str, float]) -> dict[str, nn.Module]:
    return {task.masks[name]: Backdrop(value, task.dims) for name, value in p.items()}


def _published(task: Task, p: dict[str, float]) -> dict[str, nn.Module]:
    masked = (0,) if task.dims == "sample" else (0, 2, 3)
    return {task.masks[name]: PublishedBackdrop(value, masked) for name, value in p.items()}
