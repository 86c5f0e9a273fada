"""What is measured of the trained model at the end of a run."""

from pathlib import Path

import pytest

from backdrop import conductances, high_conductance_share
from experiments.build import ConfigurationError, build
from experiments.loop import train
from experiments.run_store import RunStore

MEASURED = ["+measures=conductance", "measures.conductance.layers=[hidden.0]", "epochs=2"]


def trained(settings):
    parts, folder = build(settings), Path(settings["system"]["runs"]) / "one"
    folder.mkdir(parents=True, exist_ok=True)
    return parts, train(settings, parts, RunStore(folder.parent, folder.name), lambda row: None)


@pytest.mark.parametrize("regulariser", ["none", "ydrop"])
def test_the_share_of_high_conductance_is_that_of_the_trained_model(
    scored_settings, tmp_path, regulariser
):
    every = [*MEASURED, f"regulariser={regulariser}", "measures.conductance.samples=7"]
    parts, result = trained(scored_settings(*every))
    inputs, targets = parts.dataset.load("validation", tmp_path)
    found = conductances(parts.model, ["hidden.0"], inputs[:7], targets[:7])["hidden.0"]
    assert result["measured"] == {
        "conductance": {"hidden.0": high_conductance_share(found.mean(0))}
    }


def test_measuring_changes_no_other_number_of_a_run(scored_settings):
    _, plain = trained(scored_settings("epochs=2"))
    _, measured = trained(scored_settings(*MEASURED))
    assert 0 < measured.pop("measured")["conductance"]["hidden.0"] <= 1
    vary = {"seconds", "peak_megabytes"}
    assert {k: v for k, v in measured.items() if k not in vary} == {
        k: v for k, v in plain.items() if k not in vary
    }


def test_a_layer_that_the_model_lacks_is_named(scored_settings):
    with pytest.raises(ConfigurationError, match=r"^measures\.conductance: .*'hidden\.1'"):
        trained(scored_settings("+measures=conductance", "epochs=1"))
