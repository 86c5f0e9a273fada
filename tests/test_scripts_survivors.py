"""The section on survivors alone, on made-up runs."""

from io import StringIO

import pandas as pd
import pytest

from scripts.report import make_report
from tests.made_runs import write_preset

NAME = "textures_whitened_survivors"
DENSE, SPARSE = (f"fine 0.95, coarse 0.9, {way} backward pass" for way in ("dense", "survivors"))


@pytest.fixture
def preset(tmp_path):
    write_preset(tmp_path / "made")
    return tmp_path / "made"


def table(report):
    return pd.read_csv(StringIO(report.tables[f"{NAME}.csv"])).set_index(["context", "arm"])


def test_survivors_meet_the_dense_pass_of_their_own_net_and_cost_is_told(preset):
    report = make_report(preset)
    rows = table(report)
    sparse = rows.loc["WhitenedTextureNet", SPARSE]
    assert sparse["baseline"] == DENSE
    assert sparse["difference"] == pytest.approx(0.001)
    assert sparse["pairs"] == 3
    assert sparse["verdict"] == "undecided: 3 pairs"
    assert sparse["peak_megabytes"] == 1400
    assert set(rows.loc["TextureNet"]["peak_megabytes"]) == {2000}
    text = report.tables[f"{NAME}.md"]
    assert "| seconds a run | peak memory, MB |" in text
    assert "| 2 (× 1.00) | 1400 |" in text
    assert "peak_megabytes" not in report.tables["cifar_laptop.csv"]
    assert "peak memory" not in report.tables["cifar_laptop.md"]


def test_the_curves_of_both_passes_share_a_panel(preset):
    (plan,) = [plan for plan in make_report(preset).figures if plan.name.startswith(NAME)]
    panels = {axes.get_title(): axes for axes in plan.draw().axes}
    assert len(panels["WhitenedTextureNet"].lines) == 2
    assert len(panels["TextureNet"].lines) == 1


def test_missing_runs_are_named_and_gaps_shown(preset):
    runs = pd.read_csv(preset / "runs.csv", dtype=str, keep_default_na=False)
    lost = (runs["config.backward"] == '"survivors"') & (runs["config.seed"] == "2")
    assert lost.sum() == 1
    runs["status"] = runs["status"].mask(lost, "missing")
    runs["peak_megabytes"] = ""  # of runs made where the system does not tell
    runs.to_csv(preset / "runs.csv", index=False)
    report = make_report(preset)
    assert f"{SPARSE} (WhitenedTextureNet): seed 2" in report.text
    assert table(report).loc[("WhitenedTextureNet", SPARSE), "pairs"] == 2
    assert "(× 1.00) | — |" in report.tables[f"{NAME}.md"]
