"""The picture of one's own sweep, grouped by what it varied."""

import json

import pandas as pd
import pytest

from scripts.read.declared import Metric
from scripts.read.tables import read_runs
from scripts.sweep import draw_sweep, main, probability, sweep_lines
from tests.made_runs import TINY

P = ("masks.fine.p", "masks.coarse.p")
ERROR = Metric("test.error")


@pytest.fixture
def sweep(tmp_path):
    """Give a folder with the runs of the fixture's grid over two probabilities."""
    table = pd.read_csv(TINY / "runs.csv", dtype=str, keep_default_na=False)
    table[table["experiments"].str.contains("grid")].to_csv(tmp_path / "runs.csv", index=False)
    declare(tmp_path, *P)
    return tmp_path


def declare(folder, *keys):
    block = {"sweep": {"swept": keys, "metric": "test.error"}}
    (folder / "experiments.json").write_text(json.dumps({"experiments": block}))


def change(folder, **columns):
    table = pd.read_csv(folder / "runs.csv", dtype=str, keep_default_na=False)
    table.assign(**columns).to_csv(folder / "runs.csv", index=False)


def test_the_probability_with_the_most_values_is_on_the_axis(sweep):
    runs = read_runs(sweep / "runs.csv")
    assert probability(runs, P) == "masks.fine.p"
    found = sweep_lines(runs, P, ERROR, "masks.fine.p")
    assert [list(line.points) for line in found] == [[0.0, 0.5, 0.95]] * 2
    assert [len(values) for values in found[0].points.values()] == [3, 3, 3]


def test_runs_without_the_mask_are_the_point_at_zero_of_every_line(sweep):
    table = pd.read_csv(sweep / "runs.csv", dtype=str, keep_default_na=False)
    table = table[table["config.masks.coarse.p"] == "0.0"]
    plain = table["config.masks.fine.p"] == "0.0"
    table.loc[plain, [c for c in table if c.startswith("config.masks.")]] = ""
    masked = table[~plain]
    shared = masked.assign(**{"config.masks.fine.dims": '"spatial"'}, id="s" + masked["id"])
    pd.concat([table, shared]).to_csv(sweep / "runs.csv", index=False)
    swept = ("masks.fine.p", "masks.fine.dims")
    found = sweep_lines(read_runs(sweep / "runs.csv"), swept, ERROR, "masks.fine.p")
    assert len(found) == 2
    assert all(list(line.points) == [0.0, 0.5, 0.95] for line in found)
    assert found[0].points[0.0] == found[1].points[0.0]


def test_the_sweep_is_drawn_and_written_as_numbers(sweep, capsys):
    main([str(sweep)])
    stem = "test_error_against_masks.fine.p"
    assert f"{stem}.png" in capsys.readouterr().out
    assert (sweep / f"{stem}.png").exists()
    assert pd.read_csv(sweep / f"{stem}.csv")["seeds"].tolist() == [3] * 6


def test_axis_and_metric_can_be_chosen(sweep):
    path = draw_sweep(sweep, "test.loss", "masks.coarse.p")
    assert path.name == "test_loss_against_masks.coarse.p.png"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--x", "masks.fine.q"], "--x must be one of masks.fine.p, masks.coarse.p"),
        (["--metric", "test.auc"], "metric must be one of test.error"),
    ],
)
def test_what_cannot_be_drawn_is_said(sweep, capsys, arguments, message):
    with pytest.raises(SystemExit):
        main([str(sweep), *arguments])
    assert message in capsys.readouterr().err


def test_a_key_that_is_no_number_or_does_not_vary_on_its_own_is_refused(sweep, capsys):
    declare(sweep, *P, "optimizer._target_", "batch_size")
    change(sweep, **{"config.batch_size": [str(place) for place in range(18)]})
    for key, message in (
        ("optimizer._target_", "must be a number"),
        ("masks.fine.p", "does not vary on its own; the sweep varies masks.coarse.p"),
    ):
        with pytest.raises(SystemExit):
            main([str(sweep), "--x", key])
        assert message in capsys.readouterr().err


def test_a_sweep_without_a_probability_asks_for_a_key(sweep, capsys):
    declare(sweep, "optimizer.lr")
    with pytest.raises(SystemExit):
        main([str(sweep)])
    assert "name another key with --x" in capsys.readouterr().err
