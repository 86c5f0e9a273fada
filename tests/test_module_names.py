"""Keys of modules: exact names, patterns within the dots, types."""

import pytest
import torchvision
from torch import nn

from backdrop.module_names import find_module, find_modules

RESNET = torchvision.models.resnet18()


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("layer1.0", ["layer1.0"]),
        ("", [""]),
        ("layer?", ["layer1", "layer2", "layer3", "layer4"]),
        ("layer*.1.conv2", [f"layer{i}.1.conv2" for i in (1, 2, 3, 4)]),
        ("layer[12].*", ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]),
        (nn.MaxPool2d, ["maxpool"]),
        (torchvision.models.ResNet, [""]),
    ],
)
def test_keys_mean_modules_by_name_pattern_or_type(key, names):
    found = find_modules(RESNET, key)
    assert list(found) == names
    assert all(found[name] is RESNET.get_submodule(name) for name in names)


def test_a_type_means_its_subclasses_too():
    class Own(nn.Conv2d):
        pass

    assert list(find_modules(nn.Sequential(Own(1, 1, 1), nn.ReLU()), nn.Conv2d)) == ["0"]


def test_a_module_with_two_names_is_found_once_by_patterns_and_by_either_name():
    relu = nn.ReLU()
    model = nn.Sequential(relu, nn.Conv2d(1, 1, 1), relu)
    assert list(find_modules(model, "*")) == ["0", "1"]
    assert list(find_modules(model, nn.ReLU)) == ["0"]
    assert find_module(model, "2") is relu


def test_a_name_that_looks_like_a_pattern_is_a_name():
    model = nn.ModuleDict({"a*": nn.ReLU(), "ab": nn.ReLU()})
    assert list(find_modules(model, "a*")) == ["a*"]


@pytest.mark.parametrize(
    ("error", "key", "message"),
    [
        (KeyError, "layer5", r"no module 'layer5'; did you mean 'layer\d'"),
        (KeyError, "layer*.7.conv2", r"no module that matches 'layer\*\.7\.conv2'; did you mean"),
        (KeyError, nn.LSTM, r"no module of type LSTM \("),
        (TypeError, 3, "a name, a pattern or a type of nn.Module, got 3"),
        (TypeError, int, "got <class 'int'>"),
    ],
)
def test_keys_that_mean_nothing_are_refused(error, key, message):
    with pytest.raises(error, match=message):
        find_modules(RESNET, key)
