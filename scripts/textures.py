"""The texture experiments: what each compares, and whether it bears on claim A."""

from functools import partial
from typing import Any

from scripts.against_p import against_learning_rate, against_p
from scripts.heat_map import heat_map
from scripts.labels import Settings
from scripts.learning_curves import learning_curves
from scripts.sections import (
    VALIDATION_ERROR,
    Chapter,
    Claim,
    Section,
    any_treated_arm,
    masked_at_several_scales,
)
from scripts.texture_pictures import texture_pictures

ORIGINAL_SIDE = 1024
ORIGINAL_FINE_RATIO = 10 / 9.5
"""The two small-blob lengths of the published set, one over the other."""

SMALLEST_EFFECT = 0.05
"""The smallest difference of the test error that is of interest."""

EASIER = "small task, easier than the original"


def texture_task(settings: Settings) -> str:
    """Say how the textures of a run relate to the published ones.

    A set is easier where its small-blob lengths lie further apart, as a ratio, than the original's.
    Nothing is said of other data.
    """
    if "texture" not in str(settings.get("dataset._target_", "texture")).lower():
        return ""
    side = settings.get("dataset.size", ORIGINAL_SIDE)
    ratio = _fine_ratio(settings.get("dataset.lengths"))
    if ratio is not None and ratio < 1.02 * ORIGINAL_FINE_RATIO:
        return "" if side == ORIGINAL_SIDE else f"the original's proportions at {side} px"
    return EASIER


def _fine_ratio(lengths: Any) -> float | None:
    """Give largest over smallest of the first scale's lengths, None if there are no such."""
    try:
        return float(max(lengths[0]) / min(lengths[0]))
    except (TypeError, IndexError, ValueError):
        return None


_section = partial(Section, task=texture_task, smallest_effect=SMALLEST_EFFECT)
_tested = partial(_section, main=masked_at_several_scales, tests_claim=True)

_tuning = partial(_section, metric=VALIDATION_ERROR, chooses=True)

SECTIONS = (
    _tested(
        "textures/laptop",
        "Main contrast",
        "Masks at the two scales against plain training, on the small net with batch "
        "normalisation. Both arms take the learning rate that validation chose for plain training; "
        "it and the probabilities were chosen on other seeds before these runs (preset `tuning`). "
        "A first version at the rate 0.001 had been run on these seeds before, and seen; it is the "
        "experiment `textures/fixed_rate` of the preset `extended`. The chosen probabilities are "
        "the lowest, and the rate the higher of two, at which weaker masks were tried.",
        figures=(learning_curves,),
    ),
    _tested(
        "textures/paper",
        "Paper scale",
        "Masks at the two scales, and at either, against plain training, on textures of the "
        "published size.",
        figures=(heat_map, against_p),
    ),
    _tested(
        "textures/sgd",
        "With SGD",
        "The main contrast trained with SGD: does the gain depend on Adam?",
        figures=(learning_curves,),
    ),
    _section(
        "textures/fixed_rate",
        "At the learning rate fixed beforehand",
        "The first version of the main contrast, at Adam's customary learning rate and with the "
        "probabilities that validation chose there. It does not count for the claim: that rate "
        "suits plain training badly (preset `tuning`), and what it is beaten by here must be held "
        "against plain training in the main contrast.",
        figures=(learning_curves,),
    ),
    _tested(
        "textures/whitened",
        "Whitened net",
        "The same masks on a net that sees the small scale well: a fixed whitening first layer and "
        "normalisation of each position. Strength of the whitening, initialisation and Adam's "
        "memory were chosen by validation in trials on other seeds that are not kept. Of two "
        "learning rates validation prefers 0.0005 for plain training and 0.001 for these masks "
        "(preset `tuning`): both are run for both. Probabilities are those of the main contrast.",
        figures=(learning_curves,),
    ),
    _section(
        "textures/whitened_survivors",
        "Survivors alone",
        "Strong masks on the whitened net in float32, with the dense backward pass and with one "
        "that skips what the masks drop: the same masks and, to rounding, the same gradients. The "
        "net with batch normalisation, which allows the dense one only, stands beside. Seconds are "
        "those of whole runs, evaluations included; peak memory is that of the process: with "
        "libraries, data, evaluations, and freed memory that malloc keeps. What a step takes, "
        "alone, is in `results/bench`.",
        treatments=("backward",),
        baseline={"backward": "dense"},
        relative_seconds=True,
        memory=True,
        figures=(learning_curves,),
    ),
    _tested(
        "textures/proportions",
        "True proportions",
        "Textures with the original's proportions between lengths, at half its side. "
        "Probabilities and learning rate are those of the main contrast.",
        figures=(learning_curves,),
    ),
    _tested(
        "textures/proportions_whitened",
        "True proportions, whitened net",
        "The same textures and the whitened net, at the learning rate that validation prefers for "
        "plain training.",
        figures=(learning_curves,),
    ),
    _tested(
        "textures/few_images",
        "Few images",
        "8 training images of each class in place of 25. Probabilities and learning rate are those "
        "of the main contrast.",
        figures=(learning_curves,),
    ),
    _tested(
        "textures/few_images_whitened",
        "Few images, whitened net",
        "8 training images of each class in place of 25, and the whitened net, at the learning "
        "rate that validation prefers for plain training.",
        figures=(learning_curves,),
    ),
    _section(
        "textures/crops",
        "Random crops",
        "Training on crops as large as each stage's receptive field, as many pixels an epoch as "
        "whole images: can either scale be done without? A step sees more and smaller images, so "
        "that batch statistics and gradient noise change too.",
        treatments=("masks", "augmentation"),
        main=any_treated_arm,
        figures=(learning_curves,),
    ),
    _section(
        "textures/shared",
        "One mask for the batch, or one for each sample",
        "The published demonstration shares one spatial mask over the batch; here each sample has "
        "its own unless the arm says otherwise.",
        main=masked_at_several_scales,
        figures=(learning_curves,),
    ),
    _section(
        "textures/grid",
        "Both probabilities",
        "How often to mask at each scale: every pair of probabilities, masks at one scale only "
        "among them.",
        figures=(heat_map, against_p),
    ),
    _tuning(
        "textures/tuning",
        "Choice of the probabilities",
        "Which pair of probabilities has the lowest validation error at Adam's learning rate of "
        "0.001? The seeds of all these choices are used for nothing else.",
        figures=(heat_map,),
    ),
    _tuning(
        "textures/tuning_adam",
        "Choice of Adam's learning rate",
        "Which learning rate has the lowest validation error, for each arm? The main contrast "
        "takes the one that suits plain training best, for both arms.",
        figures=(against_learning_rate,),
    ),
    _tuning(
        "textures/tuning_adam_masks",
        "Choice of the probabilities at higher learning rates",
        "Which pair of probabilities has the lowest validation error where Adam's learning rate is "
        "higher than that at which the first choice was made?",
        figures=(heat_map,),
    ),
    _tuning(
        "textures/tuning_sgd",
        "Choice of SGD's learning rate",
        "Which learning rate of SGD with momentum has the lowest validation error, for each arm?",
        figures=(against_learning_rate,),
    ),
    _tuning(
        "textures/tuning_sgd_masks",
        "Choice of the probabilities under SGD",
        "Which pair of probabilities has the lowest validation error under SGD with momentum, at "
        "the learning rate that suits plain training?",
        figures=(heat_map,),
    ),
    _tuning(
        "textures/tuning_whitened",
        "Choice of the learning rate of the whitened net",
        "Which learning rate of Adam has the lowest validation error on the whitened net, for each "
        "arm? Strength of the whitening, initialisation and Adam's memory were chosen before, in "
        "trials on the same seeds that are not kept.",
        figures=(against_learning_rate,),
    ),
    _tuning(
        "textures/gate",
        "The demonstration net at the original's size",
        "Does the net of the authors' demonstration, without normalisation, learn the published "
        "textures at their size within 30 epochs, at which learning rate, and what do masks change "
        "in that? On two seeds.",
        figures=(learning_curves, against_learning_rate),
    ),
    _tuning(
        "textures/gate_long",
        "The demonstration net for longer",
        "The same for 100 epochs: how many does each arm need?",
        figures=(learning_curves, against_learning_rate),
    ),
    _tuning(
        "textures/original_search",
        "Search at the original's size",
        "What suits plain training, and training with masks at two scales, on the demonstration "
        "net? Both try as many configurations of learning rate, batch size, warm-up, weight decay "
        "and, where there are masks, their probabilities.",
        treatments=("masks", "optimizer", "batch_size", "warmup"),
    ),
    _section(
        "textures/smoke",
        "Smoke test",
        "Shows that everything runs. It is far too short to say anything about the masks.",
    ),
)

CHAPTER = Chapter(
    title="Two-scale textures",
    claim=Claim(
        letter="A",
        statement="masks at the two scales lower the test error compared with plain training on "
        "whole images",
        smallest_effect=SMALLEST_EFFECT,
        primary="masks at two scales against plain training, the authors' demonstration net "
        "without normalisation, published textures of 1024 × 1024, 100 training images",
        stands_in=("textures/laptop", "", ""),
    ),
    sections=SECTIONS,
    pictures=texture_pictures,
)
