"""What torch does not promise to keep does what the library says of it."""

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from backdrop import torch_private


class Noting(torch.autograd.Function):
    seen: tuple[bool, bool]

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        Noting.seen = torch_private.forward_mode_allowed(), torch.is_grad_enabled()
        assert isinstance(ctx, torch_private.FunctionContext)
        return x * 2

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


def test_transforms_and_forward_mode_are_noticed():
    assert not torch_private.function_transforms_active()
    assert not torch_private.forward_mode_active()
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(torch_private.function_transforms_active())
        return x.sum()

    torch.func.grad(function)(torch.ones(2))
    with forward_ad.dual_level():
        seen.append(torch_private.forward_mode_active())
    assert seen == [True, True]


def test_autograd_functions_run_without_forward_mode_and_their_nodes_are_contexts():
    assert torch_private.forward_mode_allowed()
    y = Noting.apply(torch.ones(1, requires_grad=True))
    assert Noting.seen == (False, False)
    assert isinstance(y.grad_fn, torch_private.FunctionContext)
    assert not isinstance((y + 1).grad_fn, torch_private.FunctionContext)


def test_a_running_backward_pass_is_noticed():
    x, seen = torch.ones(1, requires_grad=True), []
    x.register_hook(lambda grad: seen.append(torch_private.in_backward_pass()))
    assert not torch_private.in_backward_pass()
    (x * 2).sum().backward()
    assert seen == [True]


def test_export_is_noticed():
    class Asking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if torch_private.exporting() else x

    assert not torch_private.exporting()
    program = torch.export.export(Asking(), (torch.ones(1),), strict=False)
    assert program.module()(torch.ones(1)) == 2


def test_subclasses_can_be_left_unasked():
    class Asked(Tensor):
        @classmethod
        def __torch_function__(cls, *args, **kwargs):
            raise AssertionError

    x = torch.ones(2).as_subclass(Asked)
    with torch_private.without_torch_function():
        assert x.shape == (2,)


def test_compiled_modules_are_known_and_functions_can_be_left_as_they_are():
    module = nn.Linear(1, 1)
    assert not torch_private.is_compiled(module)
    module.compile(backend="eager")
    assert torch_private.is_compiled(module)

    def compiling() -> bool:
        return torch.compiler.is_compiling()

    torch_private.never_compile(compiling)
    assert not torch.compile(compiling, backend="eager")()


def test_fake_tensors_have_shapes_and_no_data():
    with torch_private.fake_tensors():
        assert (torch.empty(2, 3) @ torch.empty(3, 4)).shape == (2, 4)


def test_private_names_of_torch_stand_in_one_file():
    root = Path(torch_private.__file__).parent
    names = "_C", "_dynamo", "utils._", "_subclasses", "compiler._is_exporting"
    private = re.compile("|".join(re.escape(f"torch.{name}") for name in names))
    found = [p.name for p in root.rglob("*.py") if private.search(p.read_text())]
    assert found == ["torch_private.py"]
