"""An experiment of one's own is one file and one word in a preset."""

import pandas as pd
import pytest

from experiments.configurations import Configurations
from experiments.plan import plan
from experiments.report import declarations
from experiments.reproduce import reproduce
from scripts.report import write_report

EXPERIMENT = """
# @package _global_
defaults:
  - override /dataset: digits
  - override /model: mlp
  - override /loss: auc
model: {inputs: 64, widths: [4]}
dataset: {train: 50, validation: 100, test: 100, evaluation_positives: 10, positive_fraction: 0.1}
metric: auc
precision: float32
epochs: 2
batch_size: null
arms:
  full batch: {}
  sample masks {masks.samples.p}: {set: {masks: samples}, each: {masks.samples.p: [0.2, 0.5]}}
report:
  title: My own question
  question: Do masks help on ten digits?
  baseline: full batch
  smallest_effect: 0.01
  figures: FIGURES
hydra: {sweeper: {params: {seed: "0,1"}}}
"""


@pytest.fixture
def conf(tmp_path):
    """Give a function from an experiment's figures to configurations that have it in a preset."""

    def conf(figures="[learning_curves, gains]"):
        files = {
            "experiment/own/digits.yaml": EXPERIMENT.replace("FIGURES", figures).lstrip(),
            "preset/own.yaml": "experiments: [own/digits]\n",
        }
        for name, text in files.items():
            path = tmp_path / "conf" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Configurations((tmp_path / "conf",))

    return conf


def test_its_table_figures_and_verdicts_are_in_the_report(conf, tmp_path, capfd):
    results = tmp_path / "results"
    assert reproduce("own", results, 2, conf=conf()) == 0, capfd.readouterr().err
    folder = results / "own"
    write_report(folder)
    table = pd.read_csv(folder / "tables" / "own_digits.csv").set_index("arm")
    assert set(table.index) == {"full batch", "sample masks 0.2", "sample masks 0.5"}
    assert table["verdict"]["full batch"] == "baseline"
    assert table["verdict"]["sample masks 0.5"] == "undecided: 2 pairs"
    text = (folder / "REPORT.md").read_text()
    assert "My own question" in text
    for figure in ("own_digits_learning_curves", "own_digits_gains"):
        assert (folder / "figures" / f"{figure}.png").exists()
        assert f"figures/{figure}.png" in text


@pytest.mark.parametrize(
    ("figures", "named"),
    [("[pie]", "report.figures"), ("[{against: masks.fine.p}]", "report.figures.against")],
)
def test_a_figure_that_there_is_not_is_refused_with_the_experiment(conf, figures, named):
    own = conf(figures)
    with pytest.raises(ValueError, match=f"own/digits: {named}"):
        declarations(["own/digits"], plan(["own/digits"], conf=own), own)


def test_an_unknown_preset_is_refused_with_those_of_all_folders(conf):
    with pytest.raises(ValueError, match=r"the presets are .*laptop.*own"):
        conf().preset("mine")
