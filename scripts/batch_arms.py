"""Arms that differ in which samples an update learns from: their names, and what stands for what.

Such an arm is the full batch, the full batch under a mask of whole samples, or minibatches.
"""

from collections.abc import Sequence

from scripts.arms import Arm
from scripts.labels import Settings, class_name, in_words
from scripts.results_table import ABSENT

MASK = "masks.samples.p"
DECOMPOSING = {"BCEWithLogitsLoss": "cross-entropy, "}


def kind_of(settings: Settings) -> str:
    """Name the kind of an arm, without its numbers.

    >>> kind_of({"batch_size": 80, "batching": "stratified"})
    'stratified minibatches'
    """
    loss = DECOMPOSING.get(class_name(str(settings.get("loss._target_", ""))), "")
    if "batch_size" in settings:
        stratified = settings.get("batching") == "stratified"
        return f"{loss}{'stratified ' if stratified else ''}minibatches"
    return f"{loss}{'sample masks' if MASK in settings else 'full batch'}"


def arm_name(settings: Settings) -> str:
    """Name an arm with the probability of its mask or the size of its batches.

    >>> arm_name({}), arm_name({MASK: 0.9}), arm_name({"batch_size": 80})
    ('full batch', 'sample masks 0.9', 'minibatches of 80')
    """
    size = f" of {in_words(settings['batch_size'])}" if "batch_size" in settings else ""
    p = f" {in_words(settings[MASK])}" if MASK in settings and not size else ""
    return f"{kind_of(settings)}{p}{size}"


def share_left_out(settings: Settings) -> float | None:
    """Give the share of the samples that an update does without; None if that is not known.

    >>> share_left_out({"batch_size": 80, "dataset.train": 800})
    0.9
    """
    if "batch_size" in settings:
        samples = settings.get("dataset.train")
        return round(1 - settings["batch_size"] / samples, 3) if samples else None
    return float(settings.get(MASK, 0.0))


def minibatches_as_large(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """Find the minibatches of as many samples as the masks of ``arm`` leave."""
    return _as_large("minibatches", arm, arms)


def stratified_as_large(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """Find the stratified minibatches of as many samples as the masks of ``arm`` leave."""
    return _as_large("stratified minibatches", arm, arms)


RIVAL = "minibatches as large"
RIVALS = {RIVAL: minibatches_as_large, f"stratified {RIVAL}": stratified_as_large}
FULL_BATCH = {"batch_size": ABSENT}
"""What the baseline must have."""


def masks_samples(arm: Arm) -> bool:
    """Choose the arms with sample masks on the full batch."""
    return MASK in arm.settings and "batch_size" not in arm.settings


def _as_large(kind: str, arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    if not masks_samples(arm) or "dataset.train" not in arm.settings:
        return None
    size = max(1, round(arm.settings["dataset.train"] * (1 - arm.settings[MASK])))
    fits = [
        other
        for other in arms
        if other.context == arm.context
        and not other.masks
        and kind_of(other.settings) == kind
        and other.settings["batch_size"] == size
        and _loss(other) == _loss(arm)
    ]
    return fits[0] if len(fits) == 1 else None


def _loss(arm: Arm) -> Settings:
    return {key: value for key, value in arm.settings.items() if key.startswith("loss.")}
