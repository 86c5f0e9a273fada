"""What the report says of the number of evaluations, and of where they lie."""

import pandas as pd
import pytest

from experiments.schedule import evaluation_epochs
from scripts.comparison import compare
from scripts.evaluations import are_late, average
from scripts.learning_curves import learning_curves
from scripts.section_text import section_text
from scripts.sections import Section

LATE = "All evaluations lie in the last tenth of training"


def result(*evaluated, epochs=20, status="finished"):
    """Make a section of one run for every list of evaluated epochs."""
    ids = [f"r{place}" for place in range(len(evaluated))]
    runs = pd.DataFrame({"id": ids, "experiments": "made", "status": status})
    runs = runs.assign(**{"config.seed": range(len(ids)), "seconds": 1.0, "hardware": "one"})
    runs = runs.assign(**{"final.test.error": 0.5, "selected.test.error": 0.5})
    curves = [
        {"id": id, "epoch": epoch, "test.error": 0.5 if epoch in points else None}
        for id, points in zip(ids, evaluated, strict=True)
        for epoch in range(1, epochs + 1)
    ]
    curves = pd.DataFrame(curves, columns=["id", "epoch", "test.error"])
    return compare(Section("made", "Made", "?"), runs, curves.astype({"test.error": float}))


@pytest.mark.parametrize(
    ("epochs", "evaluations", "words"),
    [
        (60, 10, "the mean of the last five evaluations"),
        (60, 5, "the mean of the last five evaluations"),
        (20, 5, "the mean of the last three evaluations"),
        (20, 1, "that of the last evaluation"),
    ],
)
def test_the_number_of_evaluations_is_that_of_the_runs(epochs, evaluations, words):
    made = result(evaluation_epochs(epochs, evaluations), epochs=epochs)
    assert average(made) == words
    assert f"test error is {words}, training error" in section_text(made, [])
    (figure,) = learning_curves(made)
    assert f"the table's value is {words}." in figure.caption
    assert figure.caption.endswith("tenth of training only.") == are_late(made)


def test_unequal_numbers_of_evaluations_and_unknown_ones_are_named():
    assert average(result([18, 19, 20], [15, 16, 17, 18, 19, 20])) == (
        "the mean of the last three to five evaluations"
    )
    unknown = "the mean of the last evaluations, five at most"
    assert average(result([18, 19, 20], status="missing")) == unknown
    assert average(result([])) == unknown


def test_it_is_said_that_validation_chooses_among_late_epochs_only():
    assert LATE in section_text(result([18, 19, 20], [19, 20]), [])
    assert LATE not in section_text(result([18, 19, 20], [17, 20]), [])
    assert not are_late(result([]))
