"""What all presets together say to the claims: the README's table, a figure, and their numbers.

python -m scripts.summary           # results/claims.csv and .png; the table into README.md
python -m scripts.summary --print   # only print the table
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scripts import style
from scripts.chapters import CHAPTERS, compare_sections
from scripts.claims import (
    Evidence,
    Group,
    comparisons_that_test,
    distinct,
    evidence,
    gain_in_words,
    place_of,
    sides_of,
)
from scripts.claims_figure import draw_claims
from scripts.comparison import Comparison
from scripts.markdown_table import GAP, markdown_table, with_interval, with_marked
from scripts.results_table import read_curves, read_runs

BY_SIZE = ("smoke", "laptop", "extended", "paper")
MARKER = "results"
NAME = "claims"


def claims_of(results: Path) -> list[Evidence]:
    """Gather what the presets under a folder say to each claim that they test.

    A comparison that several presets hold counts once.
    """
    presets = [
        (read_runs(table), read_curves(table.with_name("curves.csv")))
        for table in sorted(results.glob("*/runs.csv"), key=_place)
    ]
    found = []
    for chapter in CHAPTERS:
        tested = distinct(
            one
            for runs, curves in presets
            for one in comparisons_that_test(compare_sections(chapter.sections, runs, curves))
        )
        if chapter.claim and tested:
            found.append(evidence(chapter.claim, tested))
    return found


def _place(table: Path) -> tuple[int, str]:
    """Order presets by what they take; those of one's own by name, after these."""
    name = table.parent.name
    return BY_SIZE.index(name) if name in BY_SIZE else len(BY_SIZE), name


def readme_table(found: Sequence[Evidence]) -> str:
    """Write a row a claim: what decides it, what was found closest to that, pooled, verdict."""
    if not found:
        return "No comparison that bears on a claim has finished runs yet."
    header = ["claim", "closest to the primary comparison", "gain", "pooled gain"]
    header.append("verdict on the closest")
    return markdown_table(header, [_readme_row(one) for one in found])


def _readme_row(found: Evidence) -> list[str]:
    claim, one = found.claim, found.primary
    named = f"**{claim.letter}** {claim.statement}"
    if one is None:
        return [named, "not run", GAP, _pooled(found.primary_group), "undecided"]
    place = f"{place_of(one)}: {sides_of(one)}"
    return [named, place, gain_in_words(one), _pooled(found.primary_group), one.verdict]


def _pooled(group: Group | None) -> str:
    if group is None or group.pooled is None:
        return GAP
    decimals = group.comparisons[0].section.metric.decimals
    mean = group.pooled.mean
    return f"{with_interval(mean, decimals, sign=True)}, {mean.n} comparisons"


def numbers(found: Sequence[Evidence]) -> pd.DataFrame:
    """Give a row for each comparison of each claim, and for what is pooled of them."""
    return pd.DataFrame([row for one in found for row in _rows(one)])


def _rows(found: Evidence) -> list[dict[str, object]]:
    claim = found.claim
    shared = {"claim": claim.letter, "smallest_effect": claim.smallest_effect}
    rows: list[dict[str, object]] = []
    for group in found.groups:
        rows += [shared | _row(one, one is found.primary) for one in group.comparisons]
        if group.pooled is not None:
            rows.append(shared | _pooled_row(group))
    return rows


def _row(one: Comparison, primary: bool) -> dict[str, object]:
    gain = one.gain
    return {
        "experiment": one.section.experiment,
        "setting": one.arm.context_label,
        "arm": one.arm.label,
        "against": one.baseline_label,
        "stands_in_for_the_primary": primary,
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "pairs": gain.n,
        "verdict": one.judged.value,
    }


def _pooled_row(group: Group) -> dict[str, object]:
    assert group.pooled is not None
    mean, new = group.pooled.mean, group.pooled.new_task
    return {
        "experiment": "pooled",
        "against": group.against,
        "gain": mean.mean,
        "gain_low": mean.low,
        "gain_high": mean.high,
        "new_task_low": new.low,
        "new_task_high": new.high,
        "comparisons": mean.n,
        "heterogeneity": group.pooled.heterogeneity,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figure and the tables, or only print the README's."""
    parser = argparse.ArgumentParser(description="What all presets together say to the claims.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--print", action="store_true", help="only print the README's table")
    options = parser.parse_args(arguments)
    found = claims_of(options.results)
    if options.print or not found:
        print(readme_table(found))
        return
    table = numbers(found).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    (options.results / f"{NAME}.csv").write_text(table, encoding="utf-8")
    style.save(lambda: draw_claims(found), options.results, NAME)
    print(f"wrote {options.results / NAME}.csv and .png")
    readme = options.readme.read_text(encoding="utf-8") if options.readme.exists() else ""
    if f"<!-- {MARKER}:begin -->" in readme:
        text = with_marked(readme, readme_table(found), MARKER)
        options.readme.write_text(text, encoding="utf-8")
        print(f"wrote the results table of {options.readme}")


if __name__ == "__main__":
    main()
