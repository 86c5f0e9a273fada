"""Y-Drop when resumed, copied, checkpointed, compiled, and under autocast."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

from backdrop import YDrop
from tests.test_ydrop import TARGETS, gradient, hidden, net


@pytest.fixture
def x() -> Tensor:
    return torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def train(model: nn.Module, ydrop: YDrop, x: Tensor, steps: range) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for step in steps:
        torch.manual_seed(step)
        ydrop.update(x, TARGETS)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), TARGETS).backward()
        optimizer.step()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("scale", ["exact", "ema"])
@pytest.mark.parametrize("stop", [1, 4])
def test_resuming_is_exact(stop, scale, own, x):
    def start(seed: int) -> tuple[nn.Module, YDrop]:
        model = net()
        generator = torch.Generator().manual_seed(seed) if own else None
        return model, YDrop(model, warmup=2, every=3, scale=scale, generator=generator)

    model, ydrop = start(1)
    train(model, ydrop, x, range(8))
    first, first_drop = start(1)
    train(first, first_drop, x, range(stop))
    torch.save([first.state_dict(), first_drop.state_dict()], file := io.BytesIO())
    file.seek(0)
    resumed, resumed_drop = start(99)
    for part, state in zip((resumed, resumed_drop), torch.load(file), strict=True):
        part.load_state_dict(state)
    train(resumed, resumed_drop, x, range(stop, 8))
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), resumed.parameters(), strict=True)
    )
    assert torch.equal(ydrop.state_dict()["scale"]["0"], resumed_drop.state_dict()["scale"]["0"])


def test_states_of_other_layers_or_generators_are_refused():
    ydrop = YDrop(net())
    with pytest.raises(ValueError, match=r"of layers \['2'\], not \['0', '2'\]"):
        ydrop.load_state_dict(YDrop(net(), ["2"]).state_dict())
    with pytest.raises(ValueError, match="has one"):
        ydrop.load_state_dict(YDrop(net(), generator=torch.Generator()).state_dict())


def test_model_and_drop_are_copied_together(x):
    model = net()
    ydrop = YDrop(model)
    ydrop.update(x, TARGETS)
    copied, copied_drop = copy.deepcopy((model, ydrop))
    assert torch.equal(gradient(copied, x), gradient(model, x))
    copied_drop.remove()
    assert not torch.equal(gradient(copied, x), gradient(model, x))


def test_autocast_keeps_its_dtype_and_its_gradients(x):
    model, twin = net(), net()
    ydrop, twin_drop = YDrop(model), YDrop(twin)
    for drop in (ydrop, twin_drop):
        torch.manual_seed(2)
        drop.update(x, TARGETS)
    grads = []
    for m, drop in ((model, ydrop), (twin, None)):
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16):
            if drop is not None:  # measuring within the region leaves the step alone
                drop.update(x, TARGETS)
                drop.load_state_dict(twin_drop.state_dict())
                assert hidden(m, "0", x).dtype == torch.bfloat16
            torch.manual_seed(3)
            loss = nn.functional.cross_entropy(m(x), TARGETS)
        loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in m.parameters()]))
    assert torch.equal(*grads)
    assert grads[0].isfinite().all()


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_recomputes_with_the_same_masks(reentrant, x):
    model = net()
    YDrop(model).update(x, TARGETS)
    x.requires_grad_()
    plain = gradient(model, x)
    model.zero_grad()
    torch.manual_seed(7)
    logits = checkpoint(model, x, use_reentrant=reentrant)
    nn.functional.cross_entropy(logits, TARGETS).backward()
    assert torch.equal(torch.cat([p.grad.flatten() for p in model.parameters()]), plain)


def test_compiled_once_it_drops_as_in_eager_mode(x):
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model = net()
    ydrop = YDrop(model, scale="ema", warmup=1)
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    gradients = []
    for _ in range(4):
        ydrop.update(x, TARGETS)
        gradients.append(gradient(model, x))
        assert torch.allclose(gradient(compiled, x), gradients[-1], atol=1e-6)
    assert counter.frame_count == 1
    assert not torch.equal(*gradients[-2:])
