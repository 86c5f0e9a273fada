"""Modules that never run: what is said of them is what happens when the model runs."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from backdrop.never_called import why_never_called


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, 3, 3) for _ in range(2)])
        self.named = nn.ModuleDict({"a": nn.ReLU()})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.named["a"](block(x))
        return x


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)


IMAGES = torch.randn(2, 3, 64, 64)
MODELS = {
    "containers": (Listed, IMAGES),
    "attention": (encoder, torch.randn(2, 5, 8)),
    "swin": (lambda: torchvision.models.swin_t(num_classes=3), IMAGES),
    "swin v2": (lambda: torchvision.models.swin_v2_t(num_classes=3), IMAGES),
    "vit": (lambda: torchvision.models.VisionTransformer(64, 16, 2, 2, 8, 16), IMAGES),
    "resnet": (lambda: torchvision.models.resnet18(num_classes=3), IMAGES),
    "fx": (lambda: torch.fx.symbolic_trace(torchvision.models.resnet18()), IMAGES),
    "fx inside": (
        lambda: nn.Sequential(torch.fx.symbolic_trace(nn.Sequential(Listed(), nn.ReLU()))),
        IMAGES,
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_modules_are_said_never_to_be_called_exactly_where_they_are_not(kind):
    make, x = MODELS[kind]
    model = make().train()
    called = set()
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    model(x)
    said = {name for name, _ in model.named_modules() if why_never_called(model, name) is None}
    assert said == called


def test_a_subclass_with_a_forward_of_its_own_may_call_what_it_likes():
    class Calls(nn.MultiheadAttention):
        def forward(self, x: Tensor) -> Tensor:
            return self.out_proj(x)

    assert why_never_called(Calls(8, 2), "out_proj") is None
    assert why_never_called(type("Sub", (nn.MultiheadAttention,), {})(8, 2), "out_proj")


def test_modules_within_scripted_ones_are_never_called():
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.ReLU())), nn.ReLU())
    assert "torch.jit" in why_never_called(model, "0.0")
    assert why_never_called(model, "0") is None
    assert why_never_called(model, "1") is None
