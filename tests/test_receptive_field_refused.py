"""What cannot be analysed is named, with ways out."""

import pytest
import torch
from torch import Tensor, nn

from backdrop import receptive_field
from tests.test_receptive_field import Function, field_of


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Upsample(scale_factor=1.5), "upsample.*'odd'.*uneven"),
        (nn.UpsamplingBilinear2d(scale_factor=2), "upsample.*'odd'.*uneven"),
        (nn.AdaptiveAvgPool2d(5), "'odd'.*16 positions to 5, unevenly"),
        (Function(lambda x: x @ x), "'odd'.*attention"),
        (Function(lambda x: x + x.transpose(2, 3)), "'odd'.*different dims"),
        (Function(lambda x: torch.cat([x, x], 2)), "'odd'.*concatenates positions"),
        (Function(lambda x: x.reshape(1, 4, 4, 16)), "'odd'.*splits positions"),
        (Function(lambda x: x[:, :, ::2] + x[:, :, 8:]), r"'odd'.*strides \[1, 2\] meet"),
        (Function(lambda x: x if x.mean().item() > 0 else -x), "'odd'.*reads a value"),
        (Function(lambda x: torch.zeros_like(x).index_copy(0, torch.tensor([0]), x)), "'odd'"),
    ],
)
def test_what_cannot_be_analysed_is_named_with_ways_out(module, message):
    model = nn.Sequential()
    model.add_module("even", nn.ReLU())
    model.add_module("odd", module)
    with pytest.raises(NotImplementedError, match=message) as error:
        receptive_field(model, (1, 1, 16, 16))
    assert "Analyse the modules before it" in str(error.value)


def test_writing_into_a_part_of_a_tensor_is_named():
    def shift(x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[..., 1:] = x[..., :-1]
        return y

    with pytest.raises(NotImplementedError, match="writes into a part"):
        field_of(shift, (1, 1, 8))


def test_inputs_without_spatial_dims_are_refused():
    with pytest.raises(ValueError, match=r"\(N, C, \*spatial\), got \(1, 3\)"):
        receptive_field(nn.Linear(3, 3), (1, 3))
