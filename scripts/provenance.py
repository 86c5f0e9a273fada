"""Write the end of the report: runs without results, hardware and versions, and how to redo it."""

from collections.abc import Sequence

import pandas as pd

from scripts.comparison import SectionResult
from scripts.markdown_table import listed, markdown_table
from scripts.results_table import finished

_FOLD_FROM = 13
_LONGEST_ERROR = 160


def unfinished_text(results: Sequence[SectionResult]) -> str:
    """List every run without results by id, experiment, arm and seed; long lists are folded."""
    lines = unfinished_lines(results)
    if not lines:
        return "## Runs without results\n\nNone: every run of the preset has finished."
    rows = "\n".join(f"- {line}" for line in lines)
    if len(lines) >= _FOLD_FROM:
        rows = f"<details>\n<summary>{len(lines)} runs</summary>\n\n{rows}\n\n</details>"
    return f"## Runs without results\n\nThey leave gaps in the tables above.\n\n{rows}"


def unfinished_lines(results: Sequence[SectionResult]) -> list[str]:
    """Write one line for each run without results, named by the first experiment it belongs to."""
    lines: dict[str, str] = {}
    for result in results:
        for arm in result.arms:
            for run in arm.unfinished.to_dict("records"):
                where = f"{result.section.experiment}, {arm.full_label}, seed {run['config.seed']}"
                text = f"`{run['id']}` {where}: {_reason(run)}"
                lines.setdefault(run["id"], text)
    return list(lines.values())


def hardware_text(runs: pd.DataFrame) -> str:
    """Count the finished runs by hardware and versions, from the provenance of each run."""
    done = finished(runs[runs["experiments"] != ""])
    if done.empty:
        return ""
    columns = [column for column in done if column.startswith("provenance.")]
    columns = ["config.device", *columns] if "config.device" in done else columns
    kept = [column for column in columns if not column.endswith(".commit")]
    groups = done[kept].map(_plain).groupby(kept, sort=True).size()
    rows = [
        [*map(str, key if isinstance(key, tuple) else (key,)), str(n)] for key, n in groups.items()
    ]
    header = [column.rsplit(".", 1)[-1] for column in kept] + ["runs"]
    parts = ["## Hardware and versions", markdown_table(header, rows)]
    if "provenance.commit" in done:
        commits = sorted(f"`{commit}`" for commit in set(done["provenance.commit"]) if commit)
        parts.append(f"Made at commit {listed(commits)}." if commits else "")
        changed = sum("+" in str(commit) for commit in done["provenance.commit"])
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


def _reason(run: dict[str, str]) -> str:
    error = " ".join(str(run.get("error") or "").split())
    if len(error) > _LONGEST_ERROR:
        error = f"{error[:_LONGEST_ERROR]}…"
    return f"{run['status']}: {error}" if error else run["status"]
