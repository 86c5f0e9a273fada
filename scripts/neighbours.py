"""Gradient masks beside dropout in its forms, ChannelDropBack and Y-Drop; no claim rests on it."""

from collections import defaultdict
from functools import partial

from scripts.arms import Arm
from scripts.comparison import SectionResult
from scripts.intervals import Interval
from scripts.labels import Settings, class_name
from scripts.line_figure import Line, Panel, draw_lines
from scripts.natural_images import cifar_task
from scripts.sections import VALIDATION_ERROR, Chapter, FigurePlan, Section
from scripts.textures import texture_task


def against_width(result: SectionResult) -> list[FigurePlan]:
    """Plan the error of each method against the width of the hidden layers."""
    points: dict[str, dict[float, Interval]] = defaultdict(dict)
    for one in result.comparisons:
        if one.final.n:
            points[method(one.arm)][float(one.arm.settings["model.widths"][0])] = one.final
    lines = [
        Line(name, tuple(sorted(found)), tuple(found[x] for x in sorted(found)))
        for name, found in points.items()
    ]
    if not lines or max(len(line.x) for line in lines) < 2:
        return []
    caption = (
        f"Mean {result.section.metric.label} and its 95 % interval over the seeds against the "
        "width of both hidden layers."
    )
    panel = Panel("width", lines)
    return [
        FigurePlan(
            f"{result.section.slug}_against_width",
            caption,
            lambda: draw_lines([panel], result.section.metric, title=result.task),
        )
    ]


def method(arm: Arm) -> str:
    """Name the classes of an arm's masks and regulariser; none has the plain net.

    Layers of one class count once.
    """
    targets = [
        arm.settings[key]
        for key in sorted(arm.settings)
        if key.split(".")[0] in ("masks", "regulariser") and key.endswith("_target_")
    ]
    return ", ".join(dict.fromkeys(map(class_name, targets))) or "no masks"


def task(settings: Settings) -> str:
    """Say how the task of a run falls short of the original one."""
    return texture_task(settings) or cifar_task(settings)


_section = partial(Section, treatments=("masks", "regulariser"), task=task, relative_seconds=True)
_tuning = partial(_section, metric=VALIDATION_ERROR)

_STRENGTHS = (
    "Each method takes the strength of three that has the lowest validation error on other seeds "
    "(preset `tuning`); all else, the learning rate too, is that of plain training. "
)
_TUNED = "Which of three strengths has the lowest validation error, for each method? "
_TABLES = {
    "pendigits": "1,000 rows of pendigits (16 features, 10 classes)",
    "letter": "1,000 rows of letter (16 features, 26 classes)",
    "cifar": "1,000 flattened images of CIFAR-10 (3,072 features, 10 classes)",
}

SECTIONS = (
    _section(
        "neighbours/textures",
        "Neighbours on textures",
        "What else draws at random in training, in the place of the gradient masks or beside them, "
        "on the small texture task: dropout of single activations, channels and squares after both "
        "stages, and ChannelDropBack as described and as in its authors' code. " + _STRENGTHS,
    ),
    _section(
        "neighbours/cifar",
        "Neighbours on natural images",
        "The same on 1,000 images of CIFAR-10, with dropout where the authors of the "
        "all-convolutional net put it: on the image and after both stages. The gradient mask sits "
        "after the first stage only, which had been chosen before out of nine pairs of "
        "probabilities. " + _STRENGTHS,
    ),
    *(
        _section(
            f"neighbours/mlp_{name}",
            f"Y-Drop and dropout: {name}",
            f"Dropout and Y-Drop in the two hidden layers of a multi-layer perceptron, on {data}, "
            "at three widths. The strength is chosen for each width out of three; for Y-Drop these "
            "are ways to scale what is left, since its published form has no strength. The "
            "learning rate is Adam's customary 0.001 and not tuned.",
            figures=(against_width,),
        )
        for name, data in _TABLES.items()
    ),
    _tuning(
        "neighbours/tuning_textures", "Choice of the neighbours' strengths on textures", _TUNED
    ),
    _tuning(
        "neighbours/tuning_cifar", "Choice of the neighbours' strengths on natural images", _TUNED
    ),
    *(
        _tuning(
            f"neighbours/tuning_mlp_{name}",
            f"Choice for Y-Drop and dropout: {name}",
            f"Which of three settings has the lowest validation error, on {data}, for each method "
            "and width?",
        )
        for name, data in _TABLES.items()
    ),
)

CHAPTER = Chapter(title="Neighbours of the gradient masks", claim=None, sections=SECTIONS)
