"""What is measured of a trained model beside its loss and quality."""

from torch import Tensor, nn

from backdrop import conductances, high_conductance_share


def high_conductance(
    model: nn.Module, inputs: Tensor, targets: Tensor, layers: list[str], samples: int
) -> dict[str, float]:
    """Give for each layer the share of units whose mean conductance is high.

    The mean is over the first so many ``samples`` of a set; what counts as high is said in
    :func:`backdrop.high_conductance_share`.
    """
    found = conductances(model, layers, inputs[:samples], targets[:samples])
    return {name: high_conductance_share(of_units.mean(0)) for name, of_units in found.items()}
