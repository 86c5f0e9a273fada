"""Layers on named modules: what a model keeps, what it gains, and how it gets rid of them."""

import copy
import io
import pickle

import pytest
import torch
import torchvision
from torch import Tensor, nn

from backdrop import Backdrop, Site, module_at_scale, place


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


def test_modules_without_tensor_output_are_refused_by_name(x):
    place(model := Twice(), {"": Backdrop()})
    with pytest.raises(TypeError, match="'' returns a tuple, but a placed layer takes a single"):
        model(x)


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


@pytest.mark.parametrize(
    ("pixels", "site"),
    [
        (1, Site("relu", (7, 7), (2, 2))),
        (40, Site("layer1", (43, 43), (4, 4))),
        (100, Site("layer2", (99, 99), (8, 8))),
        (1000, Site("layer4", (435, 435), (32, 32))),
    ],
)
def test_module_at_scale_is_the_last_outermost_of_the_nearest(pixels, site):
    assert module_at_scale(torchvision.models.resnet18(), (1, 3, 224, 224), pixels) == site


def test_module_at_scale_passes_over_modules_that_run_twice():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv1d(1, 1, 3), relu, nn.Conv1d(1, 1, 3), relu)
    assert module_at_scale(model, (1, 1, 20), 5).name == "2"


def test_module_at_scale_refuses_what_it_cannot_find():
    with pytest.raises(ValueError, match="positive, got 0"):
        module_at_scale(small_net(), (1, 3, 9, 9), 0)
    with pytest.raises(ValueError, match="no module of Sequential"):
        module_at_scale(nn.Sequential(nn.Flatten()), (1, 3, 9, 9), 3)
