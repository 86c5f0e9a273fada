"""Which modules of a model are meant: by a name, a pattern of names, or a type."""

from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Give the module of that name, as in ``model.named_modules()``.

    Raises:
        KeyError: if there is none, with names that are close.
    """
    modules = _named(model)
    if name not in modules:
        raise _unknown(f"module {name!r}", name, modules)
    return modules[name]


def find_modules(model: nn.Module, key: str | type[nn.Module]) -> dict[str, nn.Module]:
    """Give the modules that a key means, by name; each once, in the model's order.

    Args:
        model: any model.
        key: the name of a module; or a pattern of names, in which ``*``, ``?`` and ``[…]`` stand
            for characters between two dots; or a type, which means its instances.

    Raises:
        KeyError: if there is none.
        TypeError: if the key is neither a string nor a type of modules.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
        >>> list(find_modules(net, nn.Linear)), list(find_modules(net, "*.1"))
        (['0', '1.1'], ['1.1'])
    """
    modules = _named(model)
    if isinstance(key, str):
        if key in modules:
            return {key: modules[key]}
        found = {name: module for name, module in modules.items() if _matches(name, key)}
        if not found:
            what = "module that matches" if set(key) & set("*?[") else "module"
            raise _unknown(f"{what} {key!r}", key, modules)
    elif isinstance(key, type) and issubclass(key, nn.Module):
        found = {name: module for name, module in modules.items() if isinstance(module, key)}
        if not found:
            raise _unknown(f"module of type {key.__name__}", "", modules)
    else:
        raise TypeError(
            f"modules are named by a name, a pattern or a type of nn.Module, got {key!r}"
        )
    first = {id(module): name for name, module in reversed(found.items())}
    return {name: module for name, module in found.items() if first[id(module)] == name}


def _named(model: nn.Module) -> dict[str, nn.Module]:
    return dict(model.named_modules(remove_duplicate=False))


def _matches(name: str, pattern: str) -> bool:
    if not name:  # the model itself is meant by its own name only
        return False
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _unknown(what: str, name: str, modules: dict[str, nn.Module]) -> KeyError:
    close = get_close_matches(name, list(modules), n=3, cutoff=0.4) if name else []
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return KeyError(f"the model has no {what}{hint} (model.named_modules() lists them all)")
