"""The Backdrop layer under compilation, checkpointing, function transforms and export."""

import copy
import pickle
import shutil
from functools import partial

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils.checkpoint import checkpoint

from backdrop import Backdrop, StratifiedBackdrop, mask_gradient, place

CPP = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no compiler")
INDUCTOR = pytest.param("inductor", marks=[CPP, pytest.mark.slow])


def stratified(**arguments) -> StratifiedBackdrop:
    layer = StratifiedBackdrop(0.5, **arguments)
    layer.groups = torch.tensor([1, 0, 0, 1, 0, 1])  # of the batch below
    return layer


LAYERS = pytest.mark.parametrize("make", [partial(Backdrop, 0.5), stratified])


def net(make, **arguments) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False)  # torch.func forbids updating statistics
    return nn.Sequential(nn.Conv2d(2, 4, 3), norm, make(**arguments), nn.ReLU(inplace=True))


def input_gradient(function, x: Tensor) -> Tensor:
    torch.manual_seed(5)
    x = x.detach().clone().requires_grad_()
    function(x).square().sum().backward()
    return x.grad


@pytest.fixture
def x() -> Tensor:
    return torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()


@LAYERS
@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR])
# Inductor has its own random numbers unless told to use those of eager mode.
@torch._inductor.config.patch(fallback_random=True)
def test_compiled_whole_it_masks_as_in_eager_mode(make, backend, placed, x):
    model = net(make)
    if placed:
        layer, model[2] = model[2], nn.Identity()
        placement = place(model, {"1": layer})
    compiled = torch.compile(model, fullgraph=True, backend=backend)

    def agree() -> bool:
        return torch.allclose(input_gradient(compiled, x), input_gradient(model, x), atol=1e-4)

    assert agree()
    model.eval()
    plain = input_gradient(model, x)
    assert agree()
    model.train()
    assert agree()
    assert not torch.allclose(input_gradient(compiled, x), plain)
    if placed:
        placement.remove()
        assert agree()


@LAYERS
def test_layers_placed_on_a_compiled_model_are_those_of_the_plain_one(make, x):
    model = net(make)
    model[2] = nn.Identity()
    plain = input_gradient(model, x)
    compiled = torch.compile(model, backend="aot_eager")
    with place(compiled, {"1": make()}):
        masked = input_gradient(model, x)
        assert torch.allclose(input_gradient(compiled, x), masked, atol=1e-4)
    assert not torch.allclose(masked, plain)
    assert torch.equal(input_gradient(model, x), plain)


def test_compiled_for_all_shapes_it_draws_masks_of_each(x):
    layer = Backdrop(0.5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (4, 6, 7):
        part = x[:2, :, :size, 1:size]
        with layer.recorded() as masks:
            grad = input_gradient(compiled, part)
        assert torch.equal(grad, 2 * part * masks[-1])


def test_compiled_once_it_draws_in_the_groups_of_every_batch(x):
    layer = StratifiedBackdrop(0.9)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    before = counters["stats"]["unique_graphs"]
    for groups in ([1, 0, 0, 1, 0, 1], [7, 7, 7, 7, 7, 7], [3, 1, 2, 1, 2], [-4, 5, -4]):
        part, layer.groups = x[: len(groups)], torch.tensor(groups)
        assert torch.equal(input_gradient(compiled, part), input_gradient(layer, part))
    assert counters["stats"]["unique_graphs"] == before + 1


@LAYERS
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_recomputes_with_the_same_mask(make, reentrant, x):
    model = nn.Sequential(net(make), nn.Dropout(0.5))

    def checkpointed(x: Tensor) -> Tensor:
        return checkpoint(model, x, use_reentrant=reentrant)

    assert torch.equal(input_gradient(checkpointed, x), input_gradient(model, x))


@LAYERS
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_refuses_an_own_generator(make, reentrant, x):
    model = net(make, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="another mask"):
        input_gradient(lambda x: checkpoint(model, x, use_reentrant=reentrant), x)


@LAYERS
def test_compilation_refuses_an_own_generator_or_leaves_it_to_eager_mode(make, x):
    model = net(make, generator=torch.Generator().manual_seed(2))
    with pytest.raises(torch._dynamo.exc.Unsupported, match="own generator"):
        torch.compile(model, fullgraph=True, backend="eager")(x)
    broken = input_gradient(torch.compile(model, backend="eager"), x)
    model[2].generator.manual_seed(2)
    assert torch.equal(broken, input_gradient(model, x))


@LAYERS
def test_double_backward_masks_twice(make, x):
    x.requires_grad_()
    layer = make()
    with layer.recorded() as masks:
        (first,) = torch.autograd.grad((layer(x) ** 3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(first, masks[0] * 3 * x**2)
    torch.testing.assert_close(second, masks[0] ** 2 * 6 * x)


@LAYERS
def test_functional_gradient_equals_the_backward_pass(make, x):
    model = net(make)
    torch.manual_seed(5)
    functional = torch.func.grad(lambda x: model(x).square().sum())(x)
    torch.testing.assert_close(functional, input_gradient(model, x))


def test_functional_gradients_nest(x):
    mask = torch.rand(8)

    def first(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: (mask_gradient(x, mask) ** 3).sum())(x)

    second = torch.func.grad(lambda x: first(x).sum())(x)
    torch.testing.assert_close(second, mask**2 * 6 * x)


@LAYERS
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_vmap_draws_one_mask_for_all_or_one_each(make, randomness):
    layer = make()

    def masked(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: layer(x).sum())(x)

    torch.manual_seed(0)
    masks = torch.vmap(masked, randomness=randomness)(torch.randn(4, 6, 2, 5, 5))
    torch.testing.assert_close(masks.mean((1, 2, 3, 4)), torch.ones(4))
    alike = [torch.equal(mask, masks[0]) for mask in masks[1:]]
    assert alike == [randomness == "same"] * 3


@LAYERS
def test_vmap_that_forbids_randomness_is_heeded(make):
    with pytest.raises(RuntimeError, match="random"):
        torch.vmap(make())(torch.randn(4, 6, 2, 5))


def test_vmap_over_masks_gives_the_gradient_under_each():
    masks, x = torch.eye(4), torch.randn(4)

    def gradient(mask: Tensor) -> Tensor:
        return torch.func.grad(lambda x: mask_gradient(x, mask).square().sum())(x)

    torch.testing.assert_close(torch.vmap(gradient)(masks), torch.diag(2 * x))


@LAYERS
def test_forward_mode_agrees_with_the_masked_gradient(make, x):
    model, tangent = net(make), torch.randn_like(x)
    torch.manual_seed(5)
    _, derivative = torch.func.jvp(lambda x: model(x).square().sum(), (x,), (tangent,))
    gradient = input_gradient(model, x)
    torch.testing.assert_close(derivative, (gradient * tangent).sum(), rtol=1e-4, atol=1e-4)


def test_forward_mode_keeps_half_precision():
    ones, mask = torch.ones(3, dtype=torch.bfloat16), torch.rand(3)
    _, derivative = torch.func.jvp(lambda x: mask_gradient(x, mask), (ones,), (ones,))
    assert torch.equal(derivative, mask.bfloat16())


@LAYERS
@pytest.mark.parametrize("strict", [True, False])
def test_exported_in_eval_mode_it_vanishes(make, strict, x):
    model = net(make).eval()
    program = torch.export.export(model, (x,), strict=strict)
    assert torch.equal(program.module()(x), model(x))
    operations = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert len(operations) == 3  # convolution, normalisation, activation


@LAYERS
@pytest.mark.parametrize("strict", [True, False])
def test_export_of_an_active_layer_is_refused(make, strict, x):
    active, fixed = net(make), net(make).eval()
    fixed[2].fixed_mask = torch.ones(1)
    for model in (active, fixed):
        with pytest.raises(Exception, match="cannot export an active Backdrop layer"):
            torch.export.export(model, (x,), strict=strict)


@LAYERS
def test_copies_mask_as_the_original(make, x):
    model = net(make, normalisation="expected")
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(input_gradient(copied, x), input_gradient(model, x))


@pytest.mark.parametrize("training", [True, False])
def test_torch_fx_keeps_the_layer_as_a_module_of_its_graph(training):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Backdrop(0.5), nn.Conv2d(8, 3, 3)).train(training)
    traced = torch.fx.symbolic_trace(model).train()
    assert isinstance(traced.get_submodule("1"), Backdrop)
    x = torch.randn(4, 3, 8, 8)
    gradients = []
    for each in (model.train(), traced):
        torch.manual_seed(0)
        gradients.append(torch.autograd.grad(each(x).square().sum(), model[0].weight)[0])
    assert torch.equal(*gradients)


def test_torch_jit_refuses_the_layer_where_it_would_mask_nothing():
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), Backdrop(0.5)), torch.randn(4, 3, 8, 8)
    with pytest.raises(RuntimeError, match=r"cannot script a Backdrop layer: .*nn.Identity\(\)"):
        torch.jit.script(model)
    with pytest.raises(RuntimeError, match="cannot export an active Backdrop layer"):
        torch.jit.trace(model, x)
    assert torch.equal(torch.jit.trace(model.eval(), x)(x), model(x))
