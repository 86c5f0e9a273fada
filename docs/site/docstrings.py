"""Turns the reStructuredText in docstrings, roles and formulas, into Markdown for the site."""

import re
from typing import Any

import griffe

FORMULA = re.compile(r"^( *)\.\. math:: (.*(?:\n(?:\1 +\S.*))*)", re.MULTILINE)
ROLE = re.compile(r":(?:func|class|meth|mod):`~?([^`]+)`")
INLINE = re.compile(r":math:`([^`]+)`")
SEVERAL = re.compile(r"^( {4,})(\w+(?:, \w+)+): (.*(?:\n\1 +\S.*)*)", re.MULTILINE)
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class Markdown(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object, if it has one."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    """Give a docstring in Markdown, its sections as Google and griffe name and list them."""
    text = EXAMPLE.sub(r"\1Examples:", text)
    text = SEVERAL.sub(_each_on_its_own, text)
    text = FORMULA.sub(_displayed, text)
    text = INLINE.sub(r"\\(\1\\)", text)
    return ROLE.sub(lambda m: f"`{m[1].rsplit('.', 1)[-1]}`", text)


def _displayed(match: re.Match[str]) -> str:
    formula = " ".join(match[2].split())
    return f"{match[1]}\\[{formula}\\]"


def _each_on_its_own(match: re.Match[str]) -> str:
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))
