"""Names that are filled from settings, and settings in words."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

WORDS = {"optimizer.lr": "learning rate"}
"""What settings are called whose keys say too little."""


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill a name's placeholders, each the dotted key of a setting, ``:%`` for a share.

    >>> fill("sample masks {masks.samples.p}", {"masks.samples.p": 0.50})
    'sample masks 0.5'
    >>> fill("{positive:%} positive", {"positive": 0.01})
    '1 % positive'

    Raises:
        ValueError: a placeholder that is no key, named with the template.
    """
    try:
        return _Filler().vformat(template, (), values)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ValueError(f"the name {template!r} cannot be filled: {error}") from error


def kind_of(template: str) -> str:
    """Give what the names that a template makes have in common.

    >>> kind_of("minibatches of {batch_size}"), kind_of("full batch")
    ('minibatches', 'full batch')
    """
    return template.partition("{")[0].strip().removesuffix(" of")


def in_words(values: Mapping[str, Any]) -> str:
    """Write settings with their names.

    >>> in_words({"optimizer.lr": 0.01, "masks.fine.p": 0.5, "batch_size": None})
    'learning rate 0.01, fine p 0.5, batch size none'
    """
    return ", ".join(f"{key_in_words(key)} {_text(value)}" for key, value in values.items())


def key_in_words(key: str) -> str:
    """Name a setting: by its last part, and a mask's probability by the mask.

    >>> key_in_words("optimizer.weight_decay"), key_in_words("masks.samples.p")
    ('weight decay', 'samples p')
    """
    parts = key.split(".")
    own = parts[-2:] if parts[0] == "masks" else parts[-1:]
    return WORDS.get(key, " ".join(own).replace("_", " "))


class _Filler(Formatter):
    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        if field_name not in kwargs:
            raise KeyError(f"{field_name} is no setting")
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return f"{100 * value:g} %" if format_spec == "%" else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
