"""The experiments on natural images: what each compares, and whether it bears on claim C."""

from functools import partial

from scripts.against_p import against_images, against_learning_rate, against_p
from scripts.heat_map import heat_map
from scripts.labels import Settings
from scripts.learning_curves import learning_curves
from scripts.sections import (
    VALIDATION_ERROR,
    Chapter,
    Claim,
    Section,
    any_treated_arm,
)

ALL_IMAGES = 50_000
SMALLEST_EFFECT = 0.005
"""The smallest difference of the test error that is of interest."""


def cifar_task(settings: Settings) -> str:
    """Say how a run on CIFAR-10 falls short of the whole set and of the full net.

    Nothing is said of other data.
    """
    if "Cifar10" not in str(settings.get("dataset._target_", "")):
        return ""
    used = sum(settings.get(f"dataset.{split}", 0) for split in ("train", "validation"))
    short = []
    if used < ALL_IMAGES:
        short.append("a part of CIFAR-10's training images")
    if settings.get("model._target_", "").endswith("AllConvNet"):
        short += ["a narrower net than All-CNN-C"] if settings.get("model.width", 1) < 1 else []
    return ", ".join(short)


_section = partial(Section, task=cifar_task, smallest_effect=SMALLEST_EFFECT)
_tested = partial(_section, main=any_treated_arm, tests_claim=True)
_tuning = partial(_section, metric=VALIDATION_ERROR, chooses=True)

SECTIONS = (
    _tested(
        "cifar/laptop",
        "CIFAR-10, main contrast",
        "Masking against plain training, on 1,000 images and All-CNN-C (with batch "
        "normalisation) at a quarter of its width. Both arms take the learning rate that "
        "validation chose for plain training; it, and which of two stages to mask with which "
        "probability, were chosen on other seeds (preset `tuning`), where 0.5 is the lowest that "
        "was tried.",
        figures=(learning_curves,),
    ),
    _tested(
        "cifar/images",
        "CIFAR-10, numbers of images",
        "The main contrast with more training images: is a gain one of small sets only? "
        "Probabilities and learning rate are those chosen for 1,000 images.",
        figures=(against_images, learning_curves),
    ),
    _tested(
        "cifar/no_norm",
        "CIFAR-10, without batch normalisation",
        "The main contrast on the net without batch normalisation: do its statistics, which couple "
        "the samples of a batch and carry what masks drop, stand in the way of a gain? Learning "
        "rate and probabilities are those that validation chose for this net (preset `tuning`), "
        "where no pair of them did better than none.",
        figures=(learning_curves,),
    ),
    _tested(
        "cifar/paper",
        "CIFAR-10, full width",
        "Masking against plain training on the whole All-CNN-C, with up to all images "
        "but those for validation.",
        figures=(against_images, learning_curves),
    ),
    _tested(
        "cifar/resnet18",
        "CIFAR-10, ResNet-18",
        "Masks after the modules that see 7 and 27 pixels, in torchvision's ResNet-18, on 5,000 "
        "images.",
        figures=(learning_curves,),
    ),
    _section(
        "cifar/grid",
        "CIFAR-10, both probabilities",
        "How often to mask at each stage: every pair of probabilities, on 1,000 images.",
        figures=(heat_map, against_p),
    ),
    _tuning(
        "cifar/tuning",
        "CIFAR-10, choice of the learning rate",
        "Which learning rate of Adam has the lowest validation error in plain training? The seeds "
        "of these choices are used for nothing else.",
        figures=(against_learning_rate,),
    ),
    _tuning(
        "cifar/tuning_masks",
        "CIFAR-10, choice of the probabilities",
        "Which pair of probabilities has the lowest validation error at the learning rate that "
        "suits plain training?",
        figures=(heat_map,),
    ),
    _tuning(
        "cifar/tuning_no_norm",
        "CIFAR-10 without batch normalisation, choice of the learning rate",
        "Which learning rate of Adam has the lowest validation error without batch normalisation, "
        "in plain training and with the mask of the main contrast?",
        figures=(against_learning_rate,),
    ),
    _tuning(
        "cifar/tuning_masks_no_norm",
        "CIFAR-10 without batch normalisation, choice of the probabilities",
        "Which pair of probabilities has the lowest validation error at the learning rate that "
        "suits plain training without batch normalisation?",
        figures=(heat_map,),
    ),
)

CHAPTER = Chapter(
    title="Natural images",
    claim=Claim(
        letter="C",
        statement="masks lower the test error on natural images compared with plain training",
        smallest_effect=SMALLEST_EFFECT,
        primary="masks against plain training, 5,000 images of CIFAR-10, all-convolutional net "
        "with batch normalisation at a quarter of its width",
        stands_in=("cifar/images", "5000 images", ""),
    ),
    note="Claim C was put to this project to test: neither the abstract nor the README of the "
    "paper makes it.",
    sections=SECTIONS,
)
