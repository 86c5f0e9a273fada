"""The few arrays that figures show: sample textures, and the gradient that reaches the input."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backdrop import Backdrop, place
from backdrop.datasets.textures import TextureCross
from backdrop.models import TextureNet
from backdrop.streams import stream_seed
from experiments.build import construct
from experiments.identity import Settings
from experiments.run_store import write_atomically

Arrays = Mapping[str, Any]
P_FINE, P_COARSE = 0.85, 0.95  # of the authors' demonstration
REDUCTION = 4  # pictures of 1024 x 1024 are stored at 256 x 256


def draw(settings: Settings, folder: Path) -> None:
    """Write samples.npz and gradients.npz of a texture experiment, those not there yet."""
    cross = getattr(construct("dataset", settings["dataset"]), "cross", None)
    if cross is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in {
        "samples": lambda: sample_textures(cross, settings["dataset"]["seed"]),
        "gradients": gradient_pictures,
    }.items():
        path = folder / f"{name}.npz"
        if not path.exists():
            buffer = BytesIO()
            np.savez_compressed(buffer, **make())
            write_atomically(path, buffer.getvalue())


def sample_textures(cross: TextureCross, seed: int) -> Arrays:
    """Give the first training image of each class, with its correlation lengths as a name."""
    images = cross.images(seed, "train", range(len(cross.classes)))
    return {
        "images": images[:, 0].astype(np.float16),
        "names": np.array([" + ".join(f"{length:g}" for length in c) for c in cross.classes]),
        "zoom": np.array(min(64, cross.size // 2)),
    }


def gradient_pictures() -> Arrays:
    """Give the absolute gradient at the input of the authors' demonstration net, untrained.

    The input is one published texture of 1024 x 1024. Without masks, under each of the two, under
    both (2 x 2 kernels, one draw), and for one fixed survivor of the coarse mask with 2 x 2 and
    with 3 x 3 kernels.
    """
    cross = TextureCross(1024, ((9.5, 10.0), (80.0, 140.0)), (0.75, 1.25), "published")
    image = torch.from_numpy(cross.images(0, "train", range(1)))
    pictures = {
        "plain": input_gradient(image, {}),
        "fine": input_gradient(image, {"fine": Backdrop(P_FINE)}),
        "coarse": input_gradient(image, {"coarse": Backdrop(P_COARSE)}),
        "masked": input_gradient(image, {"fine": Backdrop(P_FINE), "coarse": Backdrop(P_COARSE)}),
        "single_2x2": input_gradient(image, {"coarse": single_survivor(4)}, kernel_size=2),
        "single_3x3": input_gradient(image, {"coarse": single_survivor(4)}, kernel_size=3),
    }
    return {
        "image": F.avg_pool2d(image, REDUCTION)[0, 0].half().numpy(),
        **{name: _stored(gradient) for name, gradient in pictures.items()},
        "p_fine": np.array(P_FINE),
        "p_coarse": np.array(P_COARSE),
    }


def input_gradient(image: Tensor, layers: Mapping[str, Backdrop], kernel_size: int = 2) -> Tensor:
    """Give the absolute gradient of the loss at the input (1, 1, H, W) under masks after stages."""
    torch.manual_seed(stream_seed(0, "initialisation"))
    model = TextureNet(
        channels=64, fine_layers=5, coarse_layers=3, kernel_size=kernel_size, norm="none"
    )
    image = image.clone().requires_grad_()
    torch.manual_seed(stream_seed(0, "step", 0))
    with place(model, layers):
        F.cross_entropy(model(image), torch.zeros(1, dtype=torch.long)).backward()
    assert image.grad is not None
    return image.grad.abs()


def single_survivor(cells: int) -> Backdrop:
    """Give a layer whose fixed mask keeps one inner cell of a grid of cells x cells."""
    layer = Backdrop(dims="spatial")
    layer.fixed_mask = torch.zeros(1, 1, cells, cells)
    layer.fixed_mask[..., cells // 2 - 1, cells // 2] = cells**2
    return layer


def _stored(gradient: Tensor) -> np.ndarray:
    """Reduce a gradient, scaled to a maximum of 1, to the size of a picture, keeping its peaks."""
    reduced = F.max_pool2d(gradient, REDUCTION)[0, 0]
    return (reduced / reduced.max()).half().numpy()
