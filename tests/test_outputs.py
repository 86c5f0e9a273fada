"""Outputs of several elements: which one a layer takes, and what stays as it was."""

from collections import OrderedDict, namedtuple

import pytest
import torch

from backdrop.outputs import element_of, replaced

X, Y = torch.zeros(2, 3), torch.ones(2, 3)
Pair = namedtuple("Pair", ["loss", "logits"])


class ModelOutput(OrderedDict):
    """As in transformers: a mapping whose entries are attributes too."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        super().__setattr__(key, value)


@pytest.mark.parametrize(
    ("output", "element"),
    [
        ((X, Y), 0),
        ([None, X, Y], 1),
        ((torch.tensor(1.0), X), 1),
        ((X.long(), X), 1),
        (Pair(torch.tensor(1.0), X), 1),
        (OrderedDict(out=X, aux=Y), "out"),
        (ModelOutput(loss=torch.tensor(1.0), logits=X), "logits"),
        (ModelOutput(last_hidden_state=X, hidden_states=(Y, X)), "last_hidden_state"),
        ((X, (X, Y)), 0),
    ],
)
def test_the_first_floating_point_tensor_with_dims_is_replaced_and_nothing_else(output, element):
    assert element_of(output) == element
    changed = replaced(output, element, lambda x: x + 5)
    assert type(changed) is type(output)
    assert changed is not output
    places = output if isinstance(output, dict) else range(len(output))
    assert len(changed) == len(output)
    for place in places:
        if place == element:
            assert torch.equal(changed[place], X + 5)
        else:
            assert changed[place] is output[place]
    if isinstance(output, ModelOutput):
        assert getattr(changed, element) is changed[element]
        assert getattr(output, element) is X


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (3, "an? int"),
        ((), "tuple without a floating-point tensor"),
        ({"a": X.long(), "b": [X]}, "dict without"),
    ],
)
def test_outputs_without_one_are_refused(output, message):
    with pytest.raises(TypeError, match=message):
        element_of(output)
