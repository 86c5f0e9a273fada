"""Which backward pass a run takes: dense, or through the survivors of its masks alone."""

from collections.abc import Sequence

from torch import nn

from backdrop.survivors import InexactError, active_masks, survivors, would_use
from experiments.build import ConfigurationError
from experiments.identity import Settings
from experiments.precision import autocast


def choose_backward(
    model: nn.Module, settings: Settings, batch_shape: Sequence[int]
) -> dict[str, str]:
    """Put survivors on a model where they are wanted; give what is used at each active mask.

    ``backward: auto`` wants them where they are exact and, by a count of operations, less work, and
    nowhere in a model that is to be compiled; ``survivors`` wants them at every mask.

    Args:
        model: on its device, in training mode.
        settings: of the run; its ``backward``, ``compile`` and precision count.
        batch_shape: (N, …) of full batches. A smaller last batch may be dense where they are not.

    Raises:
        ConfigurationError: ``survivors`` where that is not exact, where no mask is active, or in a
            compiled model.
    """
    wanted, compiled = settings["backward"], settings["compile"]
    always = wanted == "survivors"
    dense = dict.fromkeys(active_masks(model), "dense")
    if always and not dense:
        raise ConfigurationError("backward: survivors needs a mask with p above 0; there is none")
    if always and compiled:
        raise ConfigurationError("backward: survivors cannot be compiled; set compile to false")
    if wanted == "dense" or compiled or not dense:
        return dense
    try:
        with autocast(settings):
            used = would_use(model, batch_shape, always)
    except InexactError as error:
        if always:
            raise ConfigurationError(f"backward: {error} (backward=auto or dense)") from error
        return dense
    if used != dense:
        survivors(model, always)
    return used
