"""Draw cost and memory against p, and times against sizes."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.figures import style
from scripts.read.bench import exponent, with_memory_ratio

TASKS = {
    "survivors/small_conv": "small conv net",
    "survivors/mlp": "multi-layer perceptron",
    "survivors/textures_1024": "texture net, float32",
    "survivors/textures_1024_bfloat16": "texture net, bfloat16",
}
LIMITS = ("no mask", "forward only")
LINES = ("dense mask", "survivors", "published formulation")
GROWTH = {
    "auc_loss/sigmoid": "AUC loss, sigmoid",
    "auc_loss/squared_hinge": "AUC loss, squared hinge",
    "sampler/first": "a first texture",
    "sampler/further": "a further texture",
}
_COLOURS = dict(zip((*LINES, *LIMITS), style.line_styles(5), strict=True))


def has_cost(table: pd.DataFrame) -> bool:
    """Say whether there is a cost against p to draw."""
    return bool(table["comparison"].isin(TASKS).any())


def has_growth(table: pd.DataFrame) -> bool:
    """Say whether there are times at several sizes."""
    return bool(table["comparison"].isin(GROWTH).any())


def draw_cost(table: pd.DataFrame) -> Figure:
    """Draw, for every task, time and memory of a step against p, both over the dense mask's.

    The median of a limit, which does not depend on p, is a level.
    """
    table = with_memory_ratio(table)
    tasks = [task for task in TASKS if (table["comparison"] == task).any()]
    drawn = style.figure(height=1.9 * len(tasks) + 0.5)
    grid = drawn.subplots(len(tasks), 2, squeeze=False)
    for axes, task in zip(grid, tasks, strict=True):
        rows = table[table["comparison"] == task]
        _against_p(axes[0], rows, "relative")
        _against_p(axes[1], rows, "memory_ratio")
        axes[0].set(title=f"{TASKS[task]}: time", ylabel="over the dense mask's")
        axes[1].set(title=f"{TASKS[task]}: memory")
    coarse = {"linestyle": ":", "color": _COLOURS["survivors"]["color"], "marker": "x"}
    looks = {**_COLOURS, "survivors, p coarse 0.9": coarse}
    style.legend_below(drawn, [style.line_handle(look) for look in looks.values()], list(looks))
    return drawn


def draw_growth(table: pd.DataFrame) -> Figure:
    """Draw times against sizes with the exponents that were fitted to them."""
    names = [name for name in GROWTH if (table["comparison"] == name).any()]
    drawn = style.figure(height=2.4 * ((len(names) + 1) // 2))
    grid = drawn.subplots((len(names) + 1) // 2, 2, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        rows = table[table["comparison"] == name]
        variants = list(dict.fromkeys(rows["variant"]))
        for variant, look in zip(variants, style.line_styles(len(variants)), strict=True):
            own = rows[rows["variant"] == variant].sort_values("n")
            a = exponent(own["n"].tolist(), own["seconds"].tolist())
            axes.plot(own["n"], own["seconds"], label=f"{variant}, n^{a:.1f}", **look)
        axes.set(xscale="log", yscale="log", ylabel="seconds", title=GROWTH[name])
        loss = name.startswith("auc")
        axes.set_xlabel("n, samples" if loss else "n, pixels a side")
        if not loss:  # room for the legend below the lines
            axes.set_ylim(bottom=axes.get_ylim()[0] / 10)
        axes.legend(loc="upper left" if loss else "lower right")
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    return drawn


def _against_p(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    samples = rows["p"].notna().any()
    key, coarse_values = ("p", [None]) if samples else ("p_fine", _coarse(rows))
    for variant in LINES:
        for coarse in coarse_values:
            own = rows[rows["variant"] == variant]
            own = own if coarse is None else own[own["p_coarse"] == coarse]
            if coarse and variant != "survivors":
                continue  # a dense step costs the same whatever p is
            look = dict(_COLOURS[variant])
            look |= {"linestyle": ":", "marker": "x"} if coarse else {}
            own = own.dropna(subset=[column]).sort_values(key)
            axes.plot(own[key], own[column], **look)
    for variant in LIMITS:
        level = rows[rows["variant"] == variant][column].median()
        if level == level:
            look = {k: v for k, v in _COLOURS[variant].items() if k != "marker"}
            axes.axhline(level, **look)
    axes.set_xlabel(key.replace("_", " "))
    axes.set_ylim(bottom=0)


def _coarse(rows: pd.DataFrame) -> Sequence[float]:
    return sorted(rows["p_coarse"].dropna().unique().tolist())
