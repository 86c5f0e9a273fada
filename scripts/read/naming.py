"""Settings in the words of a reader."""

from collections.abc import Mapping
from typing import Any

from scripts.read.tables import CONFIG

_WORDS = {
    "optimizer.lr": "learning rate",
    "dataset.train": "training images",
    "dataset.positive_fraction": "share of positives",
    "model.widths": "width",
    "share": "p, the share of samples left out",
}


def key_in_words(key: str) -> str:
    """Name a setting: by its last part, and a mask's probability by the mask.

    >>> key_in_words("optimizer.weight_decay"), key_in_words("masks.fine.p")
    ('weight decay', 'p of the fine mask')
    """
    key = key.removeprefix(CONFIG)
    group, *rest = key.split(".")
    if group == "masks" and rest[1:] == ["p"]:
        return f"p of the {rest[0].replace('_', ' ')} mask"
    last = rest[-1] if rest and rest[-1] != "_target_" else group
    return _WORDS.get(key, last.replace("_", " "))


def in_words(value: Any) -> str:
    """Write a setting's value; of a path only the last part.

    >>> in_words(0.001), in_words((9.5, 10.0)), in_words(None), in_words("torch.optim.Adam")
    ('0.001', '[9.5, 10]', 'none', 'Adam')
    """
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"[{', '.join(in_words(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).rpartition(".")[2]


def settings_in_words(settings: Mapping[str, Any]) -> str:
    """Write settings with their names.

    >>> settings_in_words({"optimizer.lr": 0.01, "batch_size": 20})
    'learning rate 0.01, batch size 20'
    """
    return ", ".join(f"{key_in_words(key)} {in_words(value)}" for key, value in settings.items())
