"""Examples in the library's docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import backdrop

MODULES = [module.name for module in pkgutil.walk_packages(backdrop.__path__, "backdrop.")]


@pytest.mark.parametrize("name", ["backdrop", *MODULES])
def test_examples_give_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
