"""What cannot be used is refused in one line that begins with its key."""

import pytest
from hydra.errors import ConfigCompositionException

from experiments.refusals import ConfigurationError, check_keys, nearest, one_line
from experiments.schema import Config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("++lr=0.1", r"^lr is no setting; did you mean optimizer\.lr\?$"),
        ("+scheduler=cosine", r"^scheduler is no setting; did you mean schedule\?$"),
        ("+system.nope=1", r"^system\.nope is no setting; (did you mean|there are) .*system\."),
        ("++report.titel=a", r"^report\.titel is no setting; did you mean report\.title\?$"),
    ],
)
def test_a_key_without_effect_is_refused_with_the_nearest(settings, override, message):
    with pytest.raises(ConfigurationError, match=message):
        settings(override)


def test_a_configuration_of_known_keys_passes(settings):
    check_keys(settings("schedule=step", "+measures=conductance"), Config)


def test_where_no_key_is_near_those_there_are_are_named():
    assert nearest("system.qqqqqqqqqqqqqq", ["system.data", "seed"]) == "; there are system.data"


def test_an_error_is_one_line_that_begins_with_the_key():
    error = ConfigCompositionException("Could not override 'masks/x'.\n\nNo match")
    assert one_line(error, ["a=1", "masks/x=3"]) == (
        "masks/x: Could not override 'masks/x'. No match"
    )
    assert one_line(ConfigurationError("seed must be 1"), ["seed=2"]) == "seed must be 1"
    assert one_line(ZeroDivisionError("by\nzero")) == "ZeroDivisionError: by zero"
