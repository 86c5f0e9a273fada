"""The gradients of a model with and without survivors, at the same masks."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from backdrop import survivors

TOLERANCE = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-13},
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},
}


def gradients(model: nn.Module, x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Give outputs, and the gradient by the input and all parameters as one vector."""
    x = x.detach().clone().requires_grad_()
    model.zero_grad(set_to_none=True)
    torch.manual_seed(seed)
    y = model(x * 1)  # not a leaf: the model may begin in place
    weights = torch.arange(1, y.numel() + 1, dtype=y.dtype, device=y.device).view(y.shape)
    (y.square() * weights).sum().backward()
    found = [x.grad, *(p.grad for p in model.parameters() if p.grad is not None)]
    return y.detach(), torch.cat([g.flatten() for g in found])


def difference(model: nn.Module, x: Tensor) -> float:
    """Give the relative difference that survivors makes to the gradient, run at every mask."""
    y, dense = gradients(model, x)
    with survivors(model, always=True) as skip:
        y_again, sparse = gradients(model, x)
    assert set(skip.used.values()) == {"survivors"}
    torch.testing.assert_close(y_again, y, **TOLERANCE[y.dtype])
    return float((sparse - dense).norm() / dense.norm().clamp(min=1e-300))


class Apply(nn.Module):
    """Calls a function of its input and a parameter of a given shape."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.function, self.values = function, nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.values)
