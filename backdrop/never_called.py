"""Modules whose forward never runs, as far as a model shows it before it runs."""

import torch
from torch import fx, nn

ONLY_WEIGHTS = {
    "torch.nn.modules.activation.MultiheadAttention": ("out_proj",),
    "torchvision.models.swin_transformer.ShiftedWindowAttention": ("qkv", "proj"),
    "torchvision.models.swin_transformer.ShiftedWindowAttentionV2": ("qkv", "proj"),
}
"""Classes whose forward reads the weights of these modules in them and never calls them."""


def why_never_called(model: nn.Module, name: str) -> str | None:
    """Say why the forward of a model's module never runs; None where nothing shows it.

    Seen are modules without a forward, as ``nn.ModuleList``; modules of which the one around them
    takes only the weights; and what a graph of ``torch.fx`` or ``torch.jit`` replaces. Not seen is
    what depends on the code of a forward, as an ``nn.Sequential`` of which only the parts are
    called.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, 2)
        >>> why_never_called(layer, "self_attn.out_proj")
        "'self_attn', a MultiheadAttention, takes its weights and never calls it"
        >>> why_never_called(layer, "linear1") is None
        True
    """
    module = model.get_submodule(name)
    if getattr(module.forward, "__func__", None) is nn.Module.forward:
        return f"{type(module).__name__} has no forward"
    parts = name.split(".") if name else []
    for depth in range(len(parts)):
        around, within = ".".join(parts[:depth]), ".".join(parts[depth:])
        why = _hidden_in(model.get_submodule(around), within)
        if why:
            return f"{repr(around) if around else 'the model'}, {why}"
    return None


def _hidden_in(around: nn.Module, name: str) -> str | None:
    """Say why a module around it never calls a module in it."""
    kind = type(around).__name__
    owner = next(cls for cls in type(around).__mro__ if "forward" in vars(cls))
    if name in ONLY_WEIGHTS.get(f"{owner.__module__}.{owner.__qualname__}", ()):
        return f"a {kind}, takes its weights and never calls it"
    if isinstance(around, torch.jit.ScriptModule):
        return "a module of torch.jit, runs a graph of its own"
    if isinstance(around, fx.GraphModule):
        called = [str(node.target) for node in around.graph.nodes if node.op == "call_module"]
        if not any(f"{name}.".startswith(f"{target}.") for target in called):
            return f"a graph of torch.fx, calls only what is in it, as {called[:3]}"
    return None
