"""Gradient masks beside dropout in its forms, ChannelDropBack and Y-Drop; no claim rests on it."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from scripts import natural_images, textures
from scripts.arms import Arm
from scripts.comparison import SectionResult
from scripts.intervals import Interval, per_seed, t_interval
from scripts.labels import Settings, class_name, masks_of
from scripts.line_figure import Line, Panel, draw_lines, line_plans
from scripts.natural_images import cifar_task
from scripts.sections import (
    VALIDATION_ERROR,
    Chapter,
    FigurePlan,
    Metric,
    Section,
    any_treated_arm,
)
from scripts.textures import texture_task

DROPOUT = ("first_dropout", "second_dropout")
PLAIN_DROPOUT = ("dropout", "dropout_with_input")
ARMS = {
    "none": (),
    "dropout": DROPOUT,
    "dropout_with_input": ("input_dropout", *DROPOUT),
    "spatial_dropout": ("first_spatial_dropout", "second_spatial_dropout"),
    "dropblock": ("first_dropblock", "second_dropblock"),
    "backdrop": ("fine", "coarse"),
    "backdrop_and_dropout": ("fine", "coarse", *DROPOUT),
    "fine_stage": ("fine",),
    "fine_stage_and_dropout": ("fine", "input_dropout", *DROPOUT),
}
"""The masks of those arms of conf/arm that have no regulariser."""

CONDUCTANCE = "measured.conductance."
HIGH_CONDUCTANCE = Metric(
    "conductance", "share of units of high conductance", "share", "", "", lower_is_better=False
)


def against_width(result: SectionResult) -> list[FigurePlan]:
    """Plan the error of each method against the width of the hidden layers."""
    panel = Panel("width", _lines(result, result.section.metric.final))
    panels = [panel] if _drawable(panel) else []
    return line_plans(result, "width", panels, "the width of both hidden layers.")


def high_conductance(result: SectionResult) -> list[FigurePlan]:
    """Plan the share of units of high conductance in each hidden layer against its width."""
    panels = [
        Panel("width", _lines(result, column), title=column.removeprefix(CONDUCTANCE))
        for column in sorted(result.runs)
        if column.startswith(CONDUCTANCE)
    ]
    if not panels or not all(map(_drawable, panels)):
        return []
    caption = (
        "Mean share of a hidden layer's units whose conductance in the trained net, averaged over "
        "validation samples, is at least a tenth of the layer's highest, and its 95 % interval "
        "over the seeds. The measure is ours: how the paper on Y-Drop counts is unknown."
    )
    return [
        FigurePlan(
            f"{result.section.slug}_high_conductance",
            caption,
            lambda: draw_lines(panels, HIGH_CONDUCTANCE, title=result.task),
        )
    ]


def _lines(result: SectionResult, column: str) -> list[Line]:
    """Give a column's mean over the seeds against the width, a line for each method."""
    points: dict[str, dict[float, Interval]] = defaultdict(dict)
    for arm in result.arms:
        if len(arm.finished):
            width = float(arm.settings["model.widths"][0])
            points[method(arm)][width] = t_interval(per_seed(arm.finished, column).tolist())
    return [
        Line(name, tuple(sorted(found)), tuple(found[x] for x in sorted(found)))
        for name, found in points.items()
    ]


def _drawable(panel: Panel) -> bool:
    return max((len(line.x) for line in panel.lines), default=0) > 1


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


def arm_of(settings: Settings) -> str:
    """Give what conf/arm calls the masks or regulariser of a run; empty if it has no name there."""
    regulariser = settings.get("regulariser._target_", "").rpartition(".")[2]
    if regulariser == "ChannelDropBack":
        return "channel_dropback" + "_code" * (settings["regulariser.form"] == "code")
    if regulariser == "YDrop":
        return "ydrop"
    found = set(masks_of(settings))
    return next((arm for arm, masks in ARMS.items() if set(masks) == found), "")


def benchmark(experiment: str, settings: Settings) -> tuple[str, str]:
    """Name the comparison and variant that time the steps of an arm; widths are apart."""
    widths = settings.get("model.widths")
    return f"{experiment}/{widths[0]}" if widths else experiment, arm_of(settings)


def dropout_beside(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """Find the dropout that stands beside another arm with masks or a regulariser."""
    if arm_of(arm.settings) in ("none", *PLAIN_DROPOUT):
        return None
    beside = [a for a in arms if a.context == arm.context and arm_of(a.settings) in PLAIN_DROPOUT]
    return beside[0] if len(beside) == 1 else None


def has_regulariser(arm: Arm) -> bool:
    """Choose the arms with something that acts at every step, which masks do not count as."""
    return "regulariser._target_" in arm.settings


def task(settings: Settings) -> str:
    """Say how the task of a run falls short of the original one."""
    return texture_task(settings) or cifar_task(settings)


_section = partial(
    Section,
    treatments=("masks", "regulariser"),
    task=task,
    smallest_effect=natural_images.SMALLEST_EFFECT,
    benchmark=benchmark,
    rivals={"dropout": dropout_beside},
)
_tuning = partial(_section, metric=VALIDATION_ERROR, benchmark=None, rivals={})

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
        smallest_effect=textures.SMALLEST_EFFECT,
        main=any_treated_arm,
    ),
    _section(
        "neighbours/cifar",
        "Neighbours on natural images",
        "The same on 1,000 images of CIFAR-10, with dropout where the authors of the "
        "all-convolutional net put it: on the image and after both stages. The gradient mask sits "
        "after the first stage only, which had been chosen before out of nine pairs of "
        "probabilities. " + _STRENGTHS + "The weakest was chosen throughout (conf/strengths), so "
        "that a weaker one might do better still.",
        main=any_treated_arm,
    ),
    *(
        _section(
            f"neighbours/mlp_{name}",
            f"Y-Drop and dropout: {name}",
            f"Dropout and Y-Drop in the two hidden layers of a multi-layer perceptron, on {data}, "
            "at three widths. The strength is chosen for each width out of three; that of Y-Drop "
            "is a factor on its drop probabilities, and the strongest has an author's own. Where "
            "the strongest was chosen (conf/strengths), a stronger one might do better still. "
            "The learning rate is Adam's customary 0.001 and not tuned.",
            main=has_regulariser,
            figures=(against_width, high_conductance),
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
