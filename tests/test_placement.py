"""Layers on named modules: what a model keeps, what it gains, and how it gets rid of them."""

import copy
import io
import pickle
import warnings

import pytest
import torch
import torchvision
from torch import Tensor, nn

from backdrop import Backdrop, place


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 3), nn.ReLU()
    )


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 3, 10, 10, generator=torch.Generator().manual_seed(1))


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    model.zero_grad()
    torch.manual_seed(7)
    model(x).square().mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_outputs_names_and_state_dict_stay_as_they_are(x):
    plain, masked = small_net(), small_net()
    place(masked, {"1": Backdrop(0.9), "4": Backdrop(0.5, "channel")})
    assert torch.equal(plain(x), masked(x))
    assert list(plain.state_dict()) == list(masked.state_dict())
    assert [name for name, _ in plain.named_modules()] == [
        name for name, _ in masked.named_modules()
    ]
    assert repr(plain) == repr(masked)


def test_removal_restores_the_plain_gradient(x):
    model = small_net()
    plain = gradient(model, x)
    placement = place(model, {"1": Backdrop(0.5), "4": Backdrop(0.5)})
    assert not torch.equal(gradient(model, x), plain)
    placement.remove()
    placement.remove()
    assert torch.equal(gradient(model, x), plain)
    with place(model, {"2": Backdrop(0.5)}):
        assert not torch.equal(gradient(model, x), plain)
    assert torch.equal(gradient(model, x), plain)
    assert not any(module._forward_hooks for module in model.modules())


def test_placed_layer_masks_as_one_built_in(x):
    built_in = small_net()
    built_in.insert(2, Backdrop(0.5))
    placed = small_net()
    place(placed, {"1": Backdrop(0.5)})
    assert torch.equal(gradient(placed, x), gradient(built_in, x))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_the_model_are_masked_by_layers_of_their_own(duplicate, x):
    model = small_net()
    layer = place(model, {"1": Backdrop(0.5)}).layers["1"]
    copied = duplicate(model)
    masked = gradient(model, x)
    assert torch.equal(gradient(copied, x), masked)
    layer.p = 0.0
    assert torch.equal(gradient(copied, x), masked)
    assert not torch.equal(gradient(model, x), masked)


def test_placement_copied_with_its_model_removes_the_copied_layers(x):
    model = small_net()
    plain = gradient(model, x)
    pair = model, place(model, {"1": Backdrop(0.5)})
    for copied, placement in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        placement.remove()
        assert torch.equal(gradient(copied, x), plain)
    assert not torch.equal(gradient(model, x), plain)


def test_hooks_added_in_a_new_process_do_not_displace_unpickled_layers(x, monkeypatch):
    model = small_net()
    place(model, {"1": Backdrop(0.5)})
    masked, pickled = gradient(model, x), pickle.dumps(model)
    (number,) = model[1]._forward_hooks
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", number)
    restored = pickle.loads(pickled)
    restored[1].register_forward_hook(lambda *_: None)
    assert torch.equal(gradient(restored, x), masked)


def test_saved_weights_load_with_and_without_masks(x):
    model, file = small_net(), io.BytesIO()
    place(model, {"1": Backdrop(0.5)})
    torch.save(model.state_dict(), file)
    file.seek(0)
    small_net().load_state_dict(torch.load(file))


def test_layers_follow_the_mode_of_their_modules(x):
    model = small_net()
    placement = place(model, {"2": Backdrop(0.5), "4": Backdrop(0.5)})
    with placement.layers["2"].recorded() as first, placement.layers["4"].recorded() as second:
        model.eval()(x)
        assert (len(first), len(second)) == (0, 0)
        model.train()(x)
        assert (len(first), len(second)) == (1, 1)
        model[2].eval()
        model(x)
        assert (len(first), len(second)) == (1, 2)


def test_masks_survive_a_change_of_dtype(x):
    model = small_net()
    placement = place(model, {"2": Backdrop(0.5)})
    model.to(torch.float64)
    with placement.layers["2"].recorded() as masks:
        gradient(model, x.double())
    assert len(masks) == 1


class Twice(nn.Module):
    """Calls one module twice in a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(x), self.inner(x)


def test_module_called_twice_is_masked_independently(x):
    model = Twice()
    place(model, {"inner": Backdrop(0.5)})
    x.requires_grad_()
    grads = [torch.autograd.grad(y.sum(), x)[0] for y in model(x)]
    assert not torch.equal(*grads)
    assert all(0 < (g == 0).float().mean() < 1 for g in grads)


@pytest.mark.parametrize(
    "layer", [nn.Dropout2d(0.5), torchvision.ops.DropBlock2d(0.5, 3), nn.Dropout(0.5)]
)
def test_any_stateless_module_can_be_placed(layer, x):
    model = small_net()
    with place(model, {"4": layer}) as placement:
        assert placement.layers == {"4": layer}
        assert (model(x) == 0).float().mean() > (small_net()(x) == 0).float().mean()
        model.eval()
        before = model(x)
        assert torch.equal(model(x), before)


@pytest.mark.parametrize(
    "dropout", [nn.Dropout2d, lambda p: torchvision.ops.DropBlock2d(p, 3), nn.Dropout]
)
@pytest.mark.parametrize("chain", ["in one layer", "one by one"])
def test_layers_can_follow_one_another_after_one_module(chain, dropout, x):
    built_in, model = small_net(), small_net()
    layers = [Backdrop(0.5), dropout(0.5)]
    built_in[4] = nn.Sequential(built_in[4], *copy.deepcopy(layers))
    if chain == "in one layer":
        placements = [place(model, {"4": nn.Sequential(*layers)})]
    else:
        placements = [place(model, {"4": layer}) for layer in layers]
    assert torch.equal(gradient(model, x), gradient(built_in, x))
    inert = gradient(model.eval(), x)
    for placement in placements:
        placement.remove()
    assert torch.equal(gradient(model, x), inert)
    assert not torch.equal(gradient(model.train(), x), gradient(built_in, x))


def test_unknown_names_are_refused_with_close_ones():
    model = torchvision.models.resnet18()
    with pytest.raises(KeyError, match=r"no module 'layer5'; did you mean 'layer\d'"):
        place(model, {"layer2": Backdrop(), "layer5": Backdrop()})
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, affine=False)])
def test_layers_with_state_are_refused(layer):
    with pytest.raises(ValueError, match="neither move nor save"):
        place(small_net(), {"1": layer})


def test_a_buffer_that_is_not_saved_is_refused_too():
    layer = nn.Identity()
    layer.register_buffer("noise", torch.ones(8), persistent=False)
    with pytest.raises(ValueError, match=r"'1' has parameters or buffers, .*: noise$"):
        place(small_net(), {"1": layer})


def test_layers_that_are_no_modules_are_refused():
    with pytest.raises(TypeError, match=r"must be an nn.Module, got 0\.5"):
        place(small_net(), {"1": 0.5})


def test_resnet18_trains_with_masks_on_all_sites(x):
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=5)
    sites = [name for name, m in model.named_modules() if name and not isinstance(m, nn.Linear)]
    placement = place(model, dict.fromkeys(sites, Backdrop(0.05)))
    assert len(placement.layers) == len(sites) > 60
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, labels = torch.randn(4, 3, 64, 64), torch.arange(4)
    before = copy.deepcopy(model.state_dict())
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    for name, p in model.named_parameters():
        assert p.grad.isfinite().all(), name
        assert not torch.equal(p, before[name]), name


def test_patterns_and_types_place_a_copy_on_every_module_that_they_mean(x):
    by_name, by_type = small_net(), small_net()
    place(by_name, {"0": Backdrop(0.5), "3": Backdrop(0.5), "2": nn.Dropout(), "4": nn.Dropout()})
    layer = Backdrop(0.5)
    placement = place(by_type, {nn.Conv2d: layer, "[24]": nn.Dropout()})
    assert sorted(placement.layers) == ["0", "2", "3", "4"]
    assert len({id(layer), *map(id, placement.layers.values())}) == 5
    assert torch.equal(gradient(by_name, x), gradient(by_type, x))


def test_copies_of_a_layer_draw_one_after_another_from_its_generator(x):
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Identity(), nn.Identity())
    placement = place(model, {"*": Backdrop(0.5, generator=generator)})
    with placement.layers["0"].recorded() as first, placement.layers["1"].recorded() as second:
        model(x)
    again = Backdrop(0.5, generator=torch.Generator().manual_seed(0))
    with again.recorded() as expected:
        again(again(x))
    assert torch.equal(first[0], expected[0])
    assert torch.equal(second[0], expected[1])


def test_a_module_that_two_keys_mean_is_refused():
    model = small_net()
    with pytest.raises(ValueError, match=r"module '3' is named twice, the second time by .*Conv2d"):
        place(model, {"3": Backdrop(), nn.Conv2d: Backdrop()})
    assert not any(module._forward_hooks for module in model.modules())


class Iterated(nn.Module):
    """Calls the parts of a Sequential, and never that."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


def test_layers_that_were_not_run_are_named_after_the_first_training_pass(x):
    model = Iterated()
    placement = place(model, {"parts": Backdrop(0.5), "parts.1": Backdrop(0.5)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.eval()(x)
        assert placement.drawn == {"parts": False, "parts.1": False}
    with pytest.warns(UserWarning, match="has not run the layers placed on 'parts': "):
        model.train()(x)
    assert placement.drawn == {"parts": False, "parts.1": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(x)


def test_a_module_frozen_by_eval_before_is_refused_and_after_is_named(x):
    model = small_net()
    model[1].eval()
    with pytest.raises(ValueError, match="'1' would be inert, as that BatchNorm2d is in eval mode"):
        place(model, {"1": Backdrop()})
    placement = place(model.eval(), {"1": Backdrop()})
    model.train()[1].eval()
    with pytest.warns(UserWarning, match="placed on '1'"):
        model(x)
    assert placement.drawn == {"1": False}


def test_compiled_models_say_what_was_drawn(x):
    torch.compiler.reset()
    model = small_net()
    placement = place(model, {"2": Backdrop(0.5), "4": Backdrop(0.5)})
    model[4].eval()
    torch.compile(model, backend="aot_eager", fullgraph=True)(x)
    assert placement.drawn == {"2": True, "4": False}


@pytest.mark.parametrize("name", ["0", ""])
def test_what_runs_in_every_training_pass_is_drawn_without_a_warning(name, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placement = place(model := small_net(), {name: Backdrop(0.5)})
        for _ in range(2):
            model(x)
    assert placement.drawn == {name: True}


def test_modules_that_never_run_are_refused_by_name():
    model = nn.Sequential(nn.ModuleList([nn.ReLU()]), nn.TransformerEncoderLayer(8, 2))
    with pytest.raises(ValueError, match="'0' would never run: ModuleList has no forward"):
        place(model, {"1": Backdrop(), "0": Backdrop()})
    with pytest.raises(ValueError, match=r"'1.self_attn.out_proj' would never run: .* takes its"):
        place(model, {nn.Linear: Backdrop()})
    assert not any(module._forward_hooks for module in model.modules())


def test_the_masked_element_of_several_is_the_first_and_is_said(x):
    model = Twice()
    placement = place(model, {"": Backdrop(0.5)})
    assert placement.elements == {}
    x.requires_grad_()
    with placement.layers[""].recorded() as masks:
        first, second = model(x)
    assert torch.equal(torch.autograd.grad(first.sum(), x)[0], masks[0].expand_as(x))
    assert torch.equal(torch.autograd.grad(second.sum(), x)[0], torch.ones_like(x))
    assert placement.elements == {"": 0}
    assert repr(placement).endswith(", element 0 of '')")


def test_modules_without_a_tensor_to_mask_are_refused_by_name(x):
    class Counts(nn.Module):
        def forward(self, x: Tensor) -> tuple[int, Tensor]:
            return len(x), x.argmax(1)

    place(model := Counts(), {"": Backdrop()})
    with pytest.raises(TypeError, match="'' returns a tuple without a floating-point tensor, but"):
        model(x)


def test_torch_fx_refuses_placed_layers_in_training_mode_and_drops_them_in_eval_mode(x):
    model = torchvision.models.resnet18(num_classes=5)
    place(model, {"layer1.0": Backdrop(0.9)})
    with pytest.raises(RuntimeError, match=r"fx cannot trace .* 'layer1\.0' in training"):
        torch.fx.symbolic_trace(model)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(torch.fx.symbolic_trace(model.eval())(images), model(images))
    place(model, {"layer2.0": nn.Sequential(Backdrop(0.9))})
    with pytest.raises(RuntimeError, match=r"placed on module 'layer2\.0': trace first"):
        torch.fx.symbolic_trace(model)


def test_torch_jit_says_that_it_cannot_script_placed_layers():
    place(model := nn.Sequential(small_net()), {"0.1": Backdrop()})
    for part in (model, model[0]):
        with pytest.raises(AttributeError, match=r"cannot script a model with placed layers"):
            torch.jit.script(part)
