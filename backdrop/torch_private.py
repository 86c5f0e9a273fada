"""What the library uses of torch that torch does not promise to keep, in one place.

Tests hold each of these to what is said of it here, for torch 2.10 and later.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

__all__ = ["OpOverload", "TorchDispatchMode", "tree_map_only"]

# The class of all autograd functions' contexts, which are the nodes of their graphs.
FunctionContext: type = torch._C._FunctionBase


def function_transforms_active() -> bool:
    """Say whether a transform of ``torch.func`` is running, seen from above autograd."""
    return torch._C._are_functorch_transforms_active()


def forward_mode_active() -> bool:
    """Say whether a level of ``torch.autograd.forward_ad`` is open."""
    return forward_ad._current_level >= 0


def forward_mode_allowed() -> bool:
    """Say whether tangents are carried on: not in autograd functions nor in inference mode."""
    return torch._C._is_fwd_grad_enabled()


def in_backward_pass() -> bool:
    """Say whether autograd's engine is running, as where checkpointing runs a part again."""
    return torch._C._current_graph_task_id() != -1


def exporting() -> bool:
    """Say whether ``torch.export`` is tracing."""
    # Not is_exporting(), which torch 2.10 takes for true while it compiles.
    return torch.compiler._is_exporting_flag


def without_torch_function() -> AbstractContextManager[Any]:
    """Give a context in which tensor subclasses are not asked by ``__torch_function__``."""
    return torch._C.DisableTorchFunctionSubclass()


def is_compiled(module: nn.Module) -> bool:
    """Say whether ``module.compile()`` was called."""
    return module._compiled_call_impl is not None


def never_compile(*functions: Callable[..., Any]) -> None:
    """Let ``torch.compile`` run functions, and what they call, as they are."""
    frames = torch._C._dynamo.eval_frame
    skip = frames._FrameExecStrategy(frames._FrameAction.SKIP, frames._FrameAction.SKIP)
    for function in functions:
        frames.set_code_exec_strategy(function.__code__, skip)


def fake_tensors() -> AbstractContextManager[Any]:
    """Give a context in which tensors have no data; real ones may meet them."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # slow to import

    return FakeTensorMode(allow_non_fake_inputs=True)
