"""The experiments with losses that do not decompose: what each compares; claim B."""

from functools import partial

from scripts.batch_arms import FULL_BATCH, RIVAL, RIVALS, arm_name, masks_samples
from scripts.batch_figures import against_positives, against_share, rates_by_kind
from scripts.labels import Settings
from scripts.learning_curves import learning_curves
from scripts.natural_images import cifar_task
from scripts.sections import (
    TEST_AUC,
    TEST_F1,
    VALIDATION_AUC,
    VALIDATION_F1,
    Chapter,
    Claim,
    FigureMaker,
    Metric,
    Section,
)

BUDGETS = {
    "updates": "at an equal number of updates, which costs the full batch most",
    "passes": "at equal computation: a forward pass of a sample counts 1, its backward pass, where "
    "it has one, 2",
}
TABLES = {"digits": "Digits", "letter": "Letters"}
DATA = TABLES | {"cifar": "CIFAR-10, one class against the rest"}
SMALLEST_EFFECT = 0.01
"""The smallest difference of the test AUC, or F1, that is of interest."""
TREATMENTS = ("loss", "batching", "batch_size", "masks")


def scarce_task(settings: Settings) -> str:
    """Say how many positives there are to learn from; nothing where no fraction is set."""
    fraction, samples = (settings.get(f"dataset.{key}") for key in ("positive_fraction", "train"))
    if not fraction or not samples:
        return ""
    positives = max(1, round(samples * fraction))
    return f"{positives} positive{'s' * (positives > 1)} in {samples:,} samples"


def _task(settings: Settings) -> str:
    return ", ".join(filter(None, (scarce_task(settings), cifar_task(settings))))


_section = partial(
    Section,
    metric=TEST_AUC,
    smallest_effect=SMALLEST_EFFECT,
    treatments=(*TREATMENTS, "optimizer.lr"),
    columns=("optimizer.lr",),
    baseline=FULL_BATCH,
    rivals=RIVALS,
    name=arm_name,
    task=_task,
)


def _title(data: str, budget: str) -> str:
    return f"{data}, equal {'computation' if budget == 'passes' else budget}"


def _main(table: str, budget: str) -> Section:
    return _section(
        f"auc/{table}_{budget}",
        _title(TABLES[table], budget),
        f"The relaxed AUC loss {BUDGETS[budget]}. The arms are the full batch, the full batch with "
        "sample masks, and minibatches of as many samples as the masks leave, stratified or not. "
        "Each arm has the learning rate, and the masks the probability, that validation chose on "
        "other seeds (preset `tuning`), from a wider grid of rates than in a first version, which "
        "had been run on these seeds and seen.",
        main=masks_samples,
        tests_claim=True,
        figures=(learning_curves,),
    )


def _shares(name: str, budget: str) -> Section:
    return _section(
        f"auc/{name}_p_{budget}",
        f"{_title(DATA[name], budget)}, all probabilities",
        f"How the AUC depends on the share of samples that an update does without, "
        f"{BUDGETS[budget]}. Cross-entropy stands beside, as a loss that decomposes.",
        figures=(against_share,),
    )


def _images(budget: str) -> Section:
    return _section(
        f"auc/cifar_{budget}",
        _title(DATA["cifar"], budget),
        f"The same arms on images, with fewer and fewer positives, {BUDGETS[budget]}. Learning "
        "rates and probability are those that validation chose at 1 % positives. A first version "
        "with fewer of each to choose from had been run on these seeds, and seen. Cross-entropy "
        "stands beside, as a loss that decomposes.",
        main=masks_samples,
        tests_claim=True,
        figures=(against_positives,),
    )


LONG = _section(
    "auc/cifar_long",
    f"{DATA['cifar']}, four times as many updates",
    "Is what masks do on images, at 1 % positives, a matter of too few updates? Learning rates are "
    "those that validation chose for a quarter of the updates, so this does not count for the "
    "claim.",
    figures=(learning_curves,),
)


def _f1(budget: str) -> Section:
    return _section(
        f"auc/f1_letter_{budget}",
        f"{_title(TABLES['letter'], budget)}, soft F1",
        f"The same arms with another loss that does not decompose, the soft F-measure, "
        f"{BUDGETS[budget]}. The F1 shown is at the threshold that is best on the validation set. "
        "It does not count for the claim, which is about the AUC.",
        metric=TEST_F1,
        figures=(against_share,),
    )


def _tuning(
    name: str, budget: str, data: str, noun: str = "AUC", metric: Metric = VALIDATION_AUC
) -> Section:
    figures: tuple[FigureMaker, ...] = (rates_by_kind,)
    return _section(
        f"auc/tuning_{name}_{budget}",
        f"{_title(data, budget)}, choice of the learning rates",
        f"Which learning rate has the highest validation {noun} for each arm, {BUDGETS[budget]}? "
        "The seeds of these choices are used for nothing else.",
        metric=metric,
        treatments=TREATMENTS,
        columns=(),
        rivals={},
        chooses=True,
        figures=figures,
    )


SEARCHES = tuple(
    _section(
        f"auc/{name}",
        title,
        f"{question} All arms try as many configurations of learning rate, weight decay, number of "
        "epochs and, where they have them, probability or batch size.",
        metric=VALIDATION_AUC,
        treatments=(*TREATMENTS, "optimizer", "epochs"),
        columns=("optimizer.lr", "optimizer.weight_decay", "epochs"),
        rivals={},
        chooses=True,
    )
    for name, title, question in (
        ("letter_search", "Letters, equal computation, search", "What suits each arm?"),
        (
            "letter_search_wider",
            "Letters, equal computation, wider search",
            "What suits each arm, beyond the edges that the first search chose?",
        ),
        (
            "letter_search_widest",
            "Letters, equal computation, widest search",
            "What suits each arm, beyond the edges that the second search chose?",
        ),
    )
)

SECTIONS = (
    *(_main(table, budget) for table in TABLES for budget in BUDGETS),
    *(_images(budget) for budget in BUDGETS),
    LONG,
    *(_shares(name, budget) for name in DATA for budget in BUDGETS),
    *(_f1(budget) for budget in BUDGETS),
    *(_tuning(name, budget, data) for name, data in DATA.items() for budget in BUDGETS),
    *(
        _tuning("f1_letter", budget, f"{TABLES['letter']}, soft F1", "F1", VALIDATION_F1)
        for budget in BUDGETS
    ),
    *SEARCHES,
)

CHAPTER = Chapter(
    title="Losses that do not decompose over samples",
    claim=Claim(
        letter="B",
        statement="with losses that do not decompose over samples, masking samples raises the test "
        "AUC compared with full-batch descent, and with small minibatches of the same loss",
        smallest_effect=SMALLEST_EFFECT,
        primary="sample masks against minibatches of the same AUC loss at their own best size, "
        "letters, 1 % positive, at equal computation",
        stands_in=("auc/letter_passes", "", RIVAL),
    ),
    note="The paper's data for this claim are unknown; these are ours. AUC is the area under "
    "the ROC curve, higher where the ranking is better.",
    sections=SECTIONS,
)
