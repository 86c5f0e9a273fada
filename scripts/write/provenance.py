"""Write the end of the report: runs without results, hardware and versions, and how to redo it."""

from collections.abc import Iterable

import pandas as pd

from scripts.compare.comparison import Result
from scripts.read.tables import SEED, finished
from scripts.write.markdown import folded, listed, markdown_table

_FOLD_FROM = 13
_LONGEST_ERROR = 160
_NAMED = ["id", SEED, "status", "error"]


def unfinished_text(results: Iterable[Result]) -> str:
    """List every run without results by id, experiment, arm and seed; long lists are folded."""
    lines = unfinished_lines(results)
    if not lines:
        return "## Runs without results\n\nNone: every run of the preset has finished."
    rows = folded("\n".join(f"- {line}" for line in lines), len(lines), "runs", _FOLD_FROM)
    return f"## Runs without results\n\nThey leave gaps in the tables above.\n\n{rows}"


def unfinished_lines(results: Iterable[Result]) -> list[str]:
    """Write one line for each run without results, named by the first experiment it belongs to."""
    lines: dict[str, str] = {}
    for result in results:
        cells = result.runs.reindex(columns=_NAMED, fill_value="").to_numpy()
        for one in result.comparisons:
            for id, seed, status, error in cells[one.arm.lacking]:
                where = f"{result.experiment.name}, {one.arm.full_label}, seed {seed}"
                lines.setdefault(id, f"`{id}` {where}: {_reason(status, error)}")
    return list(lines.values())


def hardware_text(runs: pd.DataFrame) -> str:
    """Count the finished runs by hardware and versions, from the provenance of each."""
    done = finished(runs)
    if done.empty:
        return ""
    columns = [column for column in done if column.startswith("provenance.")]
    columns = ["config.device", *columns] if "config.device" in done else columns
    kept = [column for column in columns if not column.endswith(".commit")]
    if not kept:
        return ""
    groups = done[kept].map(_plain).groupby(kept, sort=True).size()
    rows = [
        [*map(str, key if isinstance(key, tuple) else (key,)), str(n)] for key, n in groups.items()
    ]
    header = [column.rsplit(".", 1)[-1] for column in kept] + ["runs"]
    parts = ["## Hardware and versions", markdown_table(header, rows)]
    if "provenance.commit" in done:
        commits = sorted(f"`{commit}`" for commit in set(done["provenance.commit"]) if commit)
        parts.append(f"Made at commit {listed(commits)}." if commits else "")
        changed = sum("+" in str(commit).rstrip("+") for commit in done["provenance.commit"])
        parts.append(
            f"{changed} of {len(done)} were made with uncommitted code." if changed else ""
        )
    return "\n\n".join(filter(None, parts))


def regeneration_text(preset: str) -> str:
    """Say which commands make the numbers again."""
    return f"""## Making it again

- Tables, figures and this page, from the committed runs, in minutes and without torch:
  `make figures`.
- Every run, then the tables: `make reproduce-paper PRESET={preset}`.
- Only the runs that are missing here: `make complete PRESET={preset}`.
- One run once more, with its id from `runs.csv`: `make rerun ID=...`.

This page is written by `python -m scripts.report results/{preset}`; edits to it are lost."""


def _plain(value: object) -> str:
    """Write a value, a whole number without a point."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _reason(status: str, error: str) -> str:
    error = " ".join(error.split())
    if len(error) > _LONGEST_ERROR:
        error = f"{error[:_LONGEST_ERROR]}…"
    return f"{status}: {error}" if error else status
