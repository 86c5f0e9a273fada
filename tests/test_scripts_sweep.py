"""The picture of one's own sweep."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from scripts.results_table import read_runs
from scripts.sections import TEST_ERROR
from scripts.sweep import draw_sweep, main, sweep_lines, sweep_metric

TINY = Path(__file__).parent / "fixtures" / "results_tiny"


@pytest.fixture
def sweep(tmp_path):
    """Give a folder with the runs of the fixture's grid over two probabilities."""
    table = pd.read_csv(TINY / "runs.csv", dtype=str, keep_default_na=False)
    grid = table[table["experiments"].str.contains("grid")].assign(experiments="sweep")
    grid.to_csv(tmp_path / "runs.csv", index=False)
    shutil.copy(TINY / "curves.csv", tmp_path)
    return tmp_path


def test_the_probability_with_the_most_values_is_on_the_axis(sweep):
    key, found = sweep_lines(read_runs(sweep / "runs.csv"), TEST_ERROR)
    assert key == "masks.fine.p"
    assert [line.label for line in found] == ["no other mask", "coarse 0.9"]
    assert all(line.x == (0.0, 0.5, 0.95) for line in found)
    assert [y.n for y in found[0].y] == [3, 3, 3]


def test_the_axis_and_the_metric_can_be_chosen(sweep):
    metric = sweep_metric("test.loss")
    key, found = sweep_lines(read_runs(sweep / "runs.csv"), metric, "masks.coarse.p")
    assert [line.label for line in found] == ["no other mask", "fine 0.5", "fine 0.95"]
    error = sweep_lines(read_runs(sweep / "runs.csv"), TEST_ERROR, key)[1]
    assert found[0].y[0].mean == pytest.approx(2 * error[0].y[0].mean)


def test_runs_without_the_mask_are_the_point_at_zero_of_every_line(sweep):
    table = pd.read_csv(sweep / "runs.csv", dtype=str, keep_default_na=False)
    table = table[table["config.masks.coarse.p"] == "0.0"]
    plain = table["config.masks.fine.p"] == "0.0"
    table.loc[plain, [c for c in table if c.startswith("config.masks.")]] = ""
    masked = table[~plain]
    shared = masked.assign(**{"config.masks.fine.dims": '"spatial"'}, id="s" + masked["id"])
    pd.concat([table, shared]).to_csv(sweep / "runs.csv", index=False)
    _, found = sweep_lines(read_runs(sweep / "runs.csv"), TEST_ERROR)
    assert [line.label for line in found] == ["fine", "fine, shared over the batch"]
    assert all(line.x == (0.0, 0.5, 0.95) for line in found)
    assert found[0].y[0] == found[1].y[0]


def test_any_number_can_be_on_the_axis():
    runs = read_runs(TINY / "runs.csv")
    runs = runs[runs["experiments"].str.contains("tuning_sgd")]
    _, found = sweep_lines(runs, TEST_ERROR, "optimizer.lr")
    assert [line.label for line in found] == ["no masks", "fine 0.5, coarse 0.9"]
    assert found[0].x == (0.01, 0.1)


def test_the_sweep_is_drawn_and_written_as_numbers(sweep, capsys):
    main([str(sweep)])
    stem = "test_error_against_masks.fine.p"
    assert f"{stem}.png" in capsys.readouterr().out
    numbers = pd.read_csv(sweep / f"{stem}.csv")
    assert len(numbers) == 6
    first = (sweep / f"{stem}.pdf").read_bytes()
    draw_sweep(sweep, TEST_ERROR)
    assert (sweep / f"{stem}.pdf").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--x", "masks.fine.q"], "no setting masks.fine.q"),
        (["--x", "optimizer._target_"], "must be a number"),
        (["--x", "epochs"], "epochs does not vary while the other settings stay the same: it has"),
        (["--metric", "test.auc"], "no metric test.auc; the runs have test.error"),
    ],
)
def test_what_cannot_be_drawn_is_said(sweep, capsys, arguments, message):
    with pytest.raises(SystemExit):
        main([str(sweep), *arguments])
    assert message in capsys.readouterr().err


def test_a_sweep_without_a_varying_probability_asks_for_a_key(sweep, capsys):
    table = pd.read_csv(sweep / "runs.csv", dtype=str, keep_default_na=False)
    table[table["config.masks.fine.p"] == "0.5"][:1].to_csv(sweep / "runs.csv", index=False)
    with pytest.raises(SystemExit):
        main([str(sweep)])
    assert "name another key with --x" in capsys.readouterr().err


def test_settings_that_vary_with_the_probability_are_named(sweep, capsys):
    table = pd.read_csv(sweep / "runs.csv", dtype=str, keep_default_na=False)
    rates = "0.0" + table["config.masks.fine.p"].str[2:]
    table.assign(**{"config.optimizer.lr": rates}).to_csv(sweep / "runs.csv", index=False)
    with pytest.raises(SystemExit):
        main([str(sweep), "--x", "masks.fine.p"])
    assert "optimizer.lr vary too" in capsys.readouterr().err


def test_the_metric_is_that_of_the_runs_validation(sweep):
    table = pd.read_csv(sweep / "runs.csv", dtype=str, keep_default_na=False)
    auc = {"config.metric": '"auc"', "final.test.auc": table["final.test.error"]}
    table.assign(**auc).to_csv(sweep / "runs.csv", index=False)
    assert draw_sweep(sweep).name == "test_auc_against_masks.fine.p.png"
