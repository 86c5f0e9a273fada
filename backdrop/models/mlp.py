"""Multi-layer perceptron for tabular data."""

from torch import Tensor, nn


class MLP(nn.Module):
    """Classify vectors (N, inputs) by linear layers with ReLU between them.

    The hidden layers are ``hidden.0``, ``hidden.1`` and so on: linear layers, whose outputs, which
    masks see, are those before the ReLU. ``classifier`` is the last layer.

    Args:
        inputs: number of features; inputs of more dims are flattened.
        widths: of the hidden layers; empty for a linear model.
        classes: number of classes; with 1 the outputs are scores (N,).

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, inputs: int, widths: list[int], classes: int = 1) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        if min(*sizes, classes) < 1:
            raise ValueError(
                f"inputs, widths and classes must be at least 1; got {inputs}, {widths}, {classes}"
            )
        self.hidden = nn.ModuleList(
            nn.Linear(size, width) for size, width in zip(sizes, widths, strict=False)
        )
        self.classifier = nn.Linear(sizes[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to logits (N, classes), or to scores (N,) with one class."""
        x = x.flatten(1)
        for layer in self.hidden:
            x = layer(x).relu()
        logits: Tensor = self.classifier(x)
        return logits.squeeze(1) if logits.shape[1] == 1 else logits
