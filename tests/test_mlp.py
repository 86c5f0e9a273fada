import pytest
import torch
from torch import nn

from backdrop.models import MLP


@pytest.mark.parametrize(("classes", "shape"), [(1, (3,)), (4, (3, 4))])
@pytest.mark.parametrize("widths", [[], [8], [8, 5]])
def test_one_class_gives_scores_and_more_give_logits(widths, classes, shape):
    assert MLP(6, widths, classes)(torch.randn(3, 6)).shape == shape


def test_hidden_layers_have_names_and_a_relu_after_them():
    net, x = MLP(6, [8, 5], 2), torch.randn(3, 6)
    first, second = net.get_submodule("hidden.0"), net.get_submodule("hidden.1")
    assert isinstance(first, nn.Linear)
    expected = net.classifier(second(first(x).relu()).relu())
    assert torch.equal(net(x), expected)


def test_inputs_of_more_dims_are_flattened():
    net, x = MLP(12, [4], 2), torch.randn(3, 3, 2, 2)
    assert torch.equal(net(x), net(x.reshape(3, 12)))


@pytest.mark.parametrize("arguments", [(0, [4], 1), (4, [0], 1), (4, [4], 0)])
def test_a_size_below_one_is_refused(arguments):
    with pytest.raises(ValueError, match="must be at least 1; got"):
        MLP(*arguments)
