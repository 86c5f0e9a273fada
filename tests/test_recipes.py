"""The recipes of the docs: their very code runs, and does what they say."""

import importlib.util
import re
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from backdrop import Backdrop, mask_gradient

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "recipes.md").read_text()


def code_of(heading: str) -> str:
    """Give the code of a recipe, after that of the page's beginning where it builds on it."""
    first = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    kind, code = re.search(r"```(.*?)\n(.*?)```", section, re.DOTALL).groups()
    return first + code if kind == "python" else code


def run(heading: str) -> dict:
    names: dict = {}
    torch.manual_seed(0)
    exec(code_of(heading), names)
    return names


@pytest.fixture
def gradients():
    """Collect the gradients that optimizers step with."""
    found: list[list[Tensor]] = []
    handle = register_optimizer_step_pre_hook(partial(keep_gradients, found))
    yield found
    handle.remove()


def keep_gradients(found: list[list[Tensor]], optimizer: torch.optim.Optimizer, *_) -> None:
    found.append([p.grad.clone() for p in optimizer.param_groups[0]["params"]])


@pytest.fixture
def masks(monkeypatch) -> list[Tensor]:
    """Collect the masks that layers draw."""
    found, draw = [], Backdrop._draw

    def collected(layer, x):
        found.append(draw(layer, x))
        return found[-1]

    monkeypatch.setattr(Backdrop, "_draw", collected)
    return found


def gradient_under(net, mask, x, y):
    """Give the gradients of a net with a mask on its second module."""
    handle = net[1].register_forward_hook(lambda _, __, out: mask_gradient(out, mask))
    loss = nn.functional.cross_entropy(net(x), y)
    handle.remove()
    return torch.autograd.grad(loss, list(net.parameters()))


def test_mixed_precision_masks_every_step(gradients, masks):
    names = run("Mixed precision")
    assert names["placement"].drawn == {"1": True}
    assert len(masks) == len(gradients) == 4
    assert all(mask.dtype == torch.float32 and (mask == 0).any() for mask in masks)
    assert all(g.isfinite().all() and g.dtype == torch.float32 for step in gradients for g in step)


def test_accumulated_gradients_are_means_over_masks_of_their_own(gradients, masks):
    names = run("Gradient accumulation")
    assert len(masks) == 4
    assert len(gradients) == 2
    assert not torch.equal(masks[0], masks[1])
    fresh: dict = {}
    torch.manual_seed(0)
    exec(code_of("Gradient accumulation").split("optimizer = ")[0], fresh)  # before the first step
    net = fresh["net"]
    fresh["placement"].remove()
    parts = [
        gradient_under(net, mask, x, y)
        for mask, (x, y) in zip(masks[:2], names["batches"], strict=False)
    ]
    for found, *both in zip(gradients[0], *parts, strict=True):
        torch.testing.assert_close(found, sum(both) / 2)


def test_the_moving_average_is_of_the_masked_training_and_evaluates_without_masks(masks):
    names = run("Moving average of the weights")
    drawn, average, x = len(masks), names["average"], names["batches"][0][0]
    assert drawn == 4
    assert average(x).isfinite().all()
    assert len(masks) == drawn
    moved = zip(average.parameters(), names["net"].parameters(), strict=True)
    assert all(not torch.equal(mean, last) for mean, last in moved)


def test_the_schedule_is_followed(masks):
    names = run("A schedule of p")
    kept = [float((mask > 0).float().mean()) for mask in masks]
    assert len(masks) == 3  # at p = 0 nothing is drawn
    assert kept[0] == pytest.approx(0.55, abs=0.15)
    assert kept[1:] == pytest.approx([0.1, 0.1], abs=0.08)
    assert names["placement"].layers["1"].p == 0.9


def imported(recipe: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", recipe)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def observed(rank: int, recipe: Path) -> None:
    """Run the distributed recipe on one rank; write its masks and gradients beside it."""
    torch.set_num_threads(1)
    masks, steps, draw = [], [], Backdrop._draw

    def drawn(layer, x):
        masks.append(draw(layer, x))
        return masks[-1]

    Backdrop._draw = drawn
    register_optimizer_step_pre_hook(partial(keep_gradients, steps))
    imported(recipe).work(rank, 2, recipe.with_name("rendezvous"))
    torch.save((masks[0], steps[0]), recipe.with_name(f"{rank}.pt"))


def test_ranks_draw_their_own_masks_and_step_with_the_mean_gradient(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(code_of("DistributedDataParallel"))
    torch.multiprocessing.spawn(observed, (recipe,), nprocs=2)
    masks, steps = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True)
    assert not torch.equal(*masks)
    net, placement = imported(recipe).masked_net()
    placement.remove()
    both = []
    for rank, mask in enumerate(masks):
        torch.manual_seed(1 + rank)
        x, y = torch.randn(4, 3, 8, 8), torch.randint(10, (4,))
        both.append(gradient_under(net, mask, x, y))
    for first, second, *each in zip(*steps, *both, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, sum(each) / 2)


@pytest.mark.parametrize("package", ["lightning", "transformers"])
def test_trainers_draw_masks(package, tmp_path, monkeypatch):
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    heading = {"lightning": "Lightning", "transformers": "Hugging Face Trainer"}[package]
    assert all(run(heading)["placement"].drawn.values())
