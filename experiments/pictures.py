"""The few arrays that figures show: sample textures, and gradients that reach the input."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backdrop import Backdrop, place
from backdrop.datasets.textures import TextureCross
from backdrop.models import TextureNet
from backdrop.streams import stream_seed
from backdrop.survivors import active_masks
from experiments.build import Parts, build, construct
from experiments.checksums import write_atomically
from experiments.identity import Settings, run_id
from experiments.loop import train
from experiments.run_store import RunStore

Arrays = Mapping[str, Any]
P_FINE, P_COARSE = 0.85, 0.95  # of the authors' demonstration
SIDE = 256  # larger pictures are stored reduced to it


def draw(planned: Sequence[Settings], folder: Path, may_train: bool) -> None:
    """Write the arrays of a preset's pictures, those not there yet; none if it has no textures.

    ``samples`` shows its first texture run's images, ``gradients`` the authors' demonstration, and
    ``trained`` the first texture run with masks, which is trained for it if that is allowed:
    finished runs keep no model.
    """
    found = next(((cross, each) for each in planned if (cross := _cross(each))), None)
    if found is None:
        return
    cross, first = found
    masked = next((each for each in planned if each["masks"] and _cross(each)), None)
    makers: dict[str, Callable[[], Arrays]] = {
        "samples": lambda: sample_textures(cross, first["dataset"]["seed"]),
        "gradients": gradient_pictures,
    }
    if masked is not None and may_train:
        makers["trained"] = lambda: trained_gradients(masked)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in makers.items():
        path = folder / f"{name}.npz"
        if not path.exists():
            buffer = BytesIO()
            np.savez_compressed(buffer, **make())
            write_atomically(path, buffer.getvalue())


def _cross(settings: Settings) -> TextureCross | None:
    return getattr(construct("dataset", settings["dataset"]), "cross", None)


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
        "image": _reduced(image),
        **{name: _stored(gradient) for name, gradient in pictures.items()},
        "p_fine": np.array(P_FINE),
        "p_coarse": np.array(P_COARSE),
    }


def trained_gradients(settings: Settings) -> Arrays:
    """Train a texture run, and give the absolute gradient that reaches one image of a batch.

    With the run's masks, and without them in the same net on the same batch; one draw.
    """
    parts = build(settings)
    with TemporaryDirectory() as folder:
        store = RunStore(Path(folder), run_id(settings))
        with store.locked():
            train(settings, parts, store, lambda row: None)
    images, targets = parts.dataset.load("train", Path(settings["system"]["data"]))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    batch = order[: settings["batch_size"]]
    images, targets = images[batch].to(settings["device"]), targets[batch].to(settings["device"])
    masks = active_masks(parts.model)
    masked = _gradient_of_loss(parts, images, targets)
    for mask in masks.values():
        mask.p = 0.0
    plain = _gradient_of_loss(parts, images, targets)
    return {
        "image": _reduced(images[:1]),
        "plain": _stored(plain[:1]),
        "masked": _stored(masked[:1]),
        "p": np.array([settings["masks"][name]["p"] for name in settings["masks"]]),
        "names": np.array(list(settings["masks"])),
    }


def _reduced(image: Tensor) -> np.ndarray:
    return F.avg_pool2d(image, _reduction(image))[0, 0].half().cpu().numpy()


def _reduction(images: Tensor) -> int:
    return max(1, images.shape[-1] // SIDE)


def _gradient_of_loss(parts: Parts, images: Tensor, targets: Tensor) -> Tensor:
    inputs = images.clone().requires_grad_()
    torch.manual_seed(stream_seed(0, "picture"))
    parts.model.train()
    parts.loss(parts.model(inputs), targets).backward()
    assert inputs.grad is not None
    return inputs.grad.abs()


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
    reduced = F.max_pool2d(gradient, _reduction(gradient))[0, 0]
    return (reduced / reduced.max()).half().cpu().numpy()
