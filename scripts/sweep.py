"""Draw a metric against mask probability for the collected runs of one's own sweep.

    python -m scripts.sweep my_sweep
    python -m scripts.sweep my_sweep --x masks.coarse.p --metric test.loss

It reads runs.csv in that folder and writes <metric>_against_<x>.png, .pdf and .csv beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scripts import style
from scripts.against_p import lines, p_keys
from scripts.arms import settings_of, varying_keys
from scripts.chapters import METRICS, metric_of, task
from scripts.line_figure import Line, Panel, draw_lines
from scripts.results_table import CONFIG, finished, read_runs
from scripts.sections import TEST_ERROR, Metric


def sweep_metric(key: str) -> Metric:
    """Describe a metric by its name in the tables."""
    for known in (TEST_ERROR, *METRICS.values()):
        if key == known.key:
            return known
    name, _, noun = key.partition(".")
    return Metric(key, key.replace(".", " "), noun or name, f"train.{noun}", f"training {noun}")


def sweep_lines(
    runs: pd.DataFrame, metric: Metric, x_key: str | None = None
) -> tuple[str, list[Line]]:
    """Give the key on the x axis and the lines to draw against it.

    Without ``x_key`` it is the mask probability with the most values.

    Raises:
        ValueError: if nothing has finished, the metric or key is not there, or nothing varies.
    """
    done = finished(runs)
    if done.empty:
        raise ValueError("the sweep has no finished run")
    if metric.final not in done:
        known = ", ".join(c.removeprefix("final.") for c in done if c.startswith("final."))
        raise ValueError(f"there is no metric {metric.key}; the runs have {known}")
    if x_key is not None and CONFIG + x_key not in done:
        raise ValueError(f"the runs have no setting {x_key}")
    candidates = [x_key] if x_key else p_keys(done)
    if not candidates:
        raise ValueError("no probability of a mask varies in the sweep; name another key with --x")
    found = lines(done, candidates[0], metric)
    if not found:
        raise ValueError(
            f"{candidates[0]} does not vary while the other settings stay the same: "
            f"{_others(done, candidates[0])}"
        )
    return candidates[0], found


def _others(runs: pd.DataFrame, x_key: str) -> str:
    own = x_key.removesuffix("p") if x_key.startswith("masks.") else x_key
    varying = varying_keys(settings_of(runs))
    others = [key for key in varying if not key.startswith(own)]
    return f"{', '.join(others)} vary too" if x_key in varying and others else "it has one value"


def line_table(found: Sequence[Line], x_key: str) -> pd.DataFrame:
    """Write the points of the lines as numbers."""
    return pd.DataFrame(
        [
            {
                "line": line.label,
                x_key: x,
                "mean": y.mean,
                "low": y.low,
                "high": y.high,
                "seeds": y.n,
            }
            for line in found
            for x, y in zip(line.x, line.y, strict=True)
        ]
    )


def draw_sweep(folder: Path, metric: Metric | None = None, x_key: str | None = None) -> Path:
    """Draw the sweep collected in ``folder`` and give the path of the picture.

    Without ``metric`` it is the one that the runs' validation chose by.
    """
    runs = read_runs(folder / "runs.csv")
    metric = metric or metric_of(runs)
    key, found = sweep_lines(runs, metric, x_key)
    name = f"{metric.key.replace('.', '_')}_against_{key}"
    tasks = dict.fromkeys(task(settings) for settings in settings_of(finished(runs)))
    title = "; ".join(filter(None, tasks))
    style.save(lambda: draw_lines([Panel(key, found)], metric, title), folder, name)
    numbers = line_table(found, key)
    numbers.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    return folder / f"{name}.png"


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the sweep whose folder is named."""
    parser = argparse.ArgumentParser(description="Draw a metric against mask probability.")
    parser.add_argument("folder", type=Path, help="folder with the sweep's runs.csv")
    parser.add_argument("--x", help="setting on the x axis, such as masks.fine.p")
    parser.add_argument("--metric", help="by default what the runs' validation chose by")
    options = parser.parse_args(arguments)
    try:
        metric = sweep_metric(options.metric) if options.metric else None
        print(f"wrote {draw_sweep(options.folder, metric, options.x)}")
    except (ValueError, FileNotFoundError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
