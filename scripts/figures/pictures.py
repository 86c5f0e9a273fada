"""Draw the pictures of the textures and of the gradient that reaches them, from small arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from scripts.figures import style
from scripts.figures.style import FigurePlan

Arrays = Mapping[str, NDArray[Any]]

GRADIENT_MAP = "cividis"
_BRIGHTEST = 99.5
"""Percentile of the gradient that is drawn brightest; a few pixels far above it are cut."""
_SCALE = f"Absolute gradient, each panel on its own scale up to its {_BRIGHTEST}th percentile."


def texture_pictures(folder: Path) -> tuple[list[FigurePlan], list[str]]:
    """Plan the pictures whose arrays lie in ``folder``, and say which are lacking."""
    plans: list[FigurePlan] = []
    lacking = []
    makers = {"trained": _trained_plans, "samples": _sample_plans, "gradients": _gradient_plans}
    for name, plan in makers.items():
        path = folder / f"{name}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                plans += plan(dict(arrays))
        elif name != "trained":  # only presets that train have it
            lacking.append(f"No picture of the {name}: `pictures/{name}.npz` is not there.")
    return plans, lacking


def _sample_plans(arrays: Arrays) -> list[FigurePlan]:
    side, zoom = arrays["images"].shape[-1], int(arrays["zoom"])
    caption = (
        f"One texture of each class, {side} px a side, under the lengths of its small and large "
        f"blobs, and the marked square of {zoom} px enlarged. One grey scale for all."
    )
    return [FigurePlan("samples", caption, lambda: _draw_samples(arrays))]


def _trained_plans(arrays: Arrays) -> list[FigurePlan]:
    caption = (
        f"One texture, {arrays['image'].shape[-1]} px a side, and the gradient of the loss that "
        f"reaches it through the trained net: without its masks, and under them ({_masks(arrays)}; "
        "one draw), in a batch of training. With batch normalisation a little reaches masked "
        f"places as well. {_SCALE}"
    )
    return [FigurePlan("backdrop", caption, lambda: _draw_backdrop(arrays))]


def _masks(arrays: Arrays) -> str:
    pairs = zip(arrays["names"], arrays["p"], strict=True)
    return ", ".join(f"{name} p = {p:g}" for name, p in pairs)


def _gradient_plans(arrays: Arrays) -> list[FigurePlan]:
    fine, coarse = float(arrays["p_fine"]), float(arrays["p_coarse"])
    caption = (
        "The gradient of the loss that reaches one image through the authors' demonstration net, "
        "before training and with 2 × 2 kernels: without masks, under the fine mask "
        f"(p = {fine:g}), under the coarse mask (p = {coarse:g}), and under both, one draw each; "
        "and what a single surviving place of the coarse mask lets through with 2 × 2 and with "
        f"3 × 3 kernels. {_SCALE}"
    )
    return [FigurePlan("gradients", caption, lambda: _draw_gradients(arrays))]


def _draw_samples(arrays: Arrays) -> Figure:
    images, names, zoom = arrays["images"], arrays["names"], int(arrays["zoom"])
    low, high = np.percentile(images, [0.5, 99.5])
    drawn = style.figure(height=3.7)
    panels = drawn.subplots(2, len(images))
    for (above, below), image, name in zip(panels.T, images, names, strict=True):
        top, left = ((np.array(image.shape) - zoom) // 2).tolist()
        part = image[top : top + zoom, left : left + zoom]
        for axes, shown in ((above, image), (below, part)):
            axes.imshow(shown, cmap="gray", vmin=low, vmax=high, interpolation="none")
        above.add_patch(
            Rectangle((left, top), zoom, zoom, fill=False, edgecolor="#E69F00", linewidth=1.2)
        )
        above.set_title(str(name))
        _bare(above, f"{image.shape[1]} px")
        _bare(below, f"{zoom} px")
    return drawn


def _draw_backdrop(arrays: Arrays) -> Figure:
    drawn = style.figure(height=2.3)
    panels = drawn.subplots(1, 3)
    _image(panels[0], arrays["image"], "image")
    _gradient(panels[1], arrays["plain"], "gradient without masks")
    _gradient(panels[2], arrays["masked"], "gradient under the masks")
    return drawn


def _draw_gradients(arrays: Arrays) -> Figure:
    fine, coarse = float(arrays["p_fine"]), float(arrays["p_coarse"])
    titles = {
        "plain": "no masks",
        "fine": f"fine mask, p = {fine:g}",
        "coarse": f"coarse mask, p = {coarse:g}",
        "masked": "both masks",
        "single_2x2": "one survivor, 2 × 2 kernels",
        "single_3x3": "one survivor, 3 × 3 kernels",
    }
    known = {key: title for key, title in titles.items() if key in arrays}
    drawn = style.figure(height=3.7)
    panels = drawn.subplots(2, 4).ravel()
    _image(panels[0], arrays["image"], "image")
    for axes, (key, title) in zip(panels[1:], known.items(), strict=False):
        _gradient(axes, arrays[key], title)
    for axes in panels[1 + len(known) :]:
        axes.set_axis_off()
    return drawn


def _image(axes: Axes, image: NDArray[Any], title: str) -> None:
    low, high = np.percentile(image, [0.5, 99.5])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="none")
    axes.set_title(title)
    _bare(axes)


def _gradient(axes: Axes, gradient: NDArray[Any], title: str) -> None:
    reached = gradient[gradient > 0]
    brightest = np.percentile(reached, _BRIGHTEST) if len(reached) else 1.0
    axes.imshow(gradient, cmap=GRADIENT_MAP, vmin=0, vmax=brightest, interpolation="none")
    axes.set_title(title)
    _bare(axes)


def _bare(axes: Axes, width: str = "") -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(width)
    axes.spines[:].set_visible(False)
