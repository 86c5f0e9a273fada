"""Draw a metric against mask probability for the collected runs of one's own sweep.

    python -m scripts.sweep my_sweep
    python -m scripts.sweep my_sweep --x masks.coarse.p --metric test.loss

It reads runs.csv and experiments.json in that folder, which say what the sweep varied, and writes
<metric>_against_<x>.png and .csv beside them.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scripts.compare.intervals import t_interval
from scripts.figures import style
from scripts.figures.against import column, points
from scripts.figures.lines import Line, Panel, draw_lines
from scripts.read.declared import Metric
from scripts.read.naming import settings_in_words
from scripts.read.tables import finished, numbers, read_runs
from scripts.write.tables import bounds, csv


def sweep_lines(runs: pd.DataFrame, swept: Sequence[str], metric: Metric, x: str) -> list[Line]:
    """Give the lines of a metric against ``x``: all else that was swept makes the lines.

    A run without a mask, or with p = 0, belongs to every line that agrees in all settings but those
    of this mask.

    Raises:
        ValueError: the metric is not there, or x is no number or does not vary.
    """
    if metric.final not in runs:
        known = ", ".join(c.removeprefix("final.") for c in runs if c.startswith("final."))
        raise ValueError(f"metric must be one of {known}; got {metric.key}")
    axis = numbers(column(runs, x))
    mask = x.removesuffix("p") if x.startswith("masks.") else x
    own = [key for key in swept if key.startswith(mask) and key != x]
    rest = [key for key in swept if not key.startswith(mask) and key != "masks"]
    others, of_mask = _in_words(runs, rest), _in_words(runs, own)
    off = (axis == 0) & x.startswith("masks.")
    pieces = []
    for other in others.unique():
        variants = of_mask[(others == other) & ~off].unique() if own else [""]
        for variant in variants:
            belongs = (others == other) & (off | (of_mask == variant))
            label = ", ".join(filter(None, (str(other), str(variant))))
            pieces.append(runs[belongs].assign(line=label, x=axis[belongs]))
    joined = pd.concat(pieces)
    found = points(
        joined["x"].reset_index(drop=True),
        joined["line"].reset_index(drop=True),
        joined[metric.final].reset_index(drop=True),
    )
    if not any(len(line.points) > 1 for line in found):
        beside = [key for key in swept if key != x]
        raise ValueError(f"{x} does not vary on its own; the sweep varies {', '.join(beside)}")
    return list(found)


def _in_words(runs: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    cells = pd.DataFrame({key: column(runs, key) for key in keys}, index=runs.index)
    return pd.Series(
        [settings_in_words(dict(zip(keys, row, strict=True))) for row in cells.itertuples(False)],
        runs.index,
        dtype=object,
    )


def probability(runs: pd.DataFrame, swept: Sequence[str]) -> str:
    """Name the mask probability with the most values.

    Raises:
        ValueError: if none varies.
    """
    known = [key for key in swept if key.startswith("masks.") and key.endswith(".p")]
    if not known:
        raise ValueError("no probability of a mask varies in the sweep; name another key with --x")
    return max(known, key=lambda key: column(runs, key).nunique(dropna=False))


def draw_sweep(folder: Path, metric: str | None = None, x: str | None = None) -> Path:
    """Draw the sweep collected in ``folder`` and give the path of the picture.

    By default the metric is the one that the runs' validation chose by.

    Raises:
        ValueError: nothing has finished, or what was asked for cannot be drawn.
    """
    declared = json.loads((folder / "experiments.json").read_text(encoding="utf-8"))
    sweep = declared["experiments"]["sweep"]
    runs = finished(read_runs(folder / "runs.csv"))
    if runs.empty:
        raise ValueError("the sweep has no finished run")
    of = Metric(metric or sweep["metric"])
    swept = sweep["swept"]
    key = x or probability(runs, swept)
    if key not in swept:
        raise ValueError(f"--x must be one of {', '.join(swept)}: these were swept; got {key}")
    found = sweep_lines(runs, swept, of, key)
    name = f"{of.key.replace('.', '_')}_against_{key}"
    panel = Panel("", of.label, found)
    style.save(lambda: draw_lines([[panel]], key, of.bounds), folder, name)
    rows = [
        {"line": line.label, key: at, **bounds("mean", t_interval(values)), "seeds": len(values)}
        for line in found
        for at, values in line.points.items()
    ]
    (folder / f"{name}.csv").write_text(csv(rows), encoding="utf-8")
    return folder / f"{name}.png"


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the sweep whose folder is named."""
    parser = argparse.ArgumentParser(description="Draw a metric against mask probability.")
    parser.add_argument("folder", type=Path, help="folder with the sweep's runs.csv")
    parser.add_argument("--x", help="setting on the x axis, such as masks.fine.p")
    parser.add_argument("--metric", help="by default what the runs' validation chose by")
    options = parser.parse_args(arguments)
    try:
        print(f"wrote {draw_sweep(options.folder, options.metric, options.x)}")
    except (ValueError, FileNotFoundError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
