"""The figures that experiments may declare, and the keys that each takes."""

from collections.abc import Mapping

from scripts.compare.comparison import Result
from scripts.figures.against import against
from scripts.figures.gains import gains
from scripts.figures.heat_map import heat_map
from scripts.figures.learning_curves import learning_curves
from scripts.figures.style import FigurePlan

FIGURES = {
    "learning_curves": (),
    "gains": (),
    "heat_map": (),
    "against": ("against", "lines", "panels", "of"),
}
_PLAIN = {"learning_curves": learning_curves, "gains": gains, "heat_map": heat_map}


def declared_figures(result: Result) -> list[FigurePlan]:
    """Plan the figures that an experiment declares.

    Raises:
        ValueError: a figure, or a key of one, that there is not.
    """
    plans = []
    for figure in result.experiment.figures:
        takes = FIGURES.get(next(iter(figure)) if isinstance(figure, Mapping) else figure)
        given = set(figure) if isinstance(figure, Mapping) else set()
        if takes is None or not given <= set(takes):
            raise ValueError(
                f"{result.experiment.name}: report.figures must be of "
                f"{', '.join(FIGURES)}; got {figure!r}"
            )
        plans += against(result, **figure) if given else _PLAIN[figure](result)
    return plans
