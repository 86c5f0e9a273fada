"""Learning curves."""

import pandas as pd
import pytest

from scripts.intervals import t_interval
from scripts.learning_curves import band


def test_a_seed_that_ran_on_two_machines_counts_once():
    error = [0.1, 0.2, 0.4, 0.5]
    curves = pd.DataFrame({"epoch": 1, "config.seed": [0, 0, 1, 1], "test.error": error})
    found = band(curves, "test.error").iloc[0]
    expected = t_interval([0.15, 0.45])
    assert found.to_dict() == pytest.approx(
        {"epoch": 1, "mean": 0.3, "low": expected.low, "high": expected.high}
    )
