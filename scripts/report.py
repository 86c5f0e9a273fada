"""Make the tables, figures and REPORT.md of a preset from its committed runs.

    python -m scripts.report results/laptop

It reads runs.csv, curves.csv and pictures/, and results/bench, and writes tables/, figures/ and
REPORT.md beside them, the same bytes each time in one environment.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments.checksums import NAME, read_sums
from scripts import style
from scripts.chapters import CHAPTERS, compare_sections, undeclared_sections
from scripts.claims import answer
from scripts.comparison import SectionResult, rivals_table, table
from scripts.costs import read_costs
from scripts.earlier_designs import earlier_comparisons, earlier_table, earlier_text
from scripts.provenance import (
    hardware_text,
    regeneration_text,
    unfinished_text,
)
from scripts.results_table import read_curves, read_runs
from scripts.section_text import comparison_table, figure_text, rival_table, section_text
from scripts.sections import Chapter, FigurePlan


@dataclass(frozen=True)
class Report:
    """A preset's report before it is written: its text, tables by name, and figures to draw."""

    text: str
    tables: dict[str, str]
    figures: list[FigurePlan]


def make_report(preset: Path) -> Report:
    """Compare all arms of the preset and write the text; nothing is drawn or saved yet."""
    runs, curves = read_runs(preset / "runs.csv"), read_curves(preset / "curves.csv")
    costs = read_costs(preset.parent / "bench")
    chapters = [
        (chapter, compare_sections(chapter.sections, runs, curves, costs)) for chapter in CHAPTERS
    ]
    chapters = [(chapter, results) for chapter, results in chapters if results]
    others = compare_sections(undeclared_sections(runs), runs, curves)
    texts, figures = [f"# Results of the preset `{preset.name}`"], list[FigurePlan]()
    texts += [answer(chapter.claim, results) for chapter, results in chapters if chapter.claim]
    for chapter, results in chapters:
        text, plans = _chapter(chapter, results, preset / "pictures")
        texts.append(text)
        figures += plans
    texts += ["## Other experiments"] if others else []
    texts += [section_text(result, []) for result in others]
    every = [result for _, results in chapters for result in results] + others
    earlier = earlier_comparisons(CHAPTERS, runs)
    texts += [earlier_text(runs, earlier), unfinished_text(every)]
    texts += [hardware_text(runs), regeneration_text(preset.name)]
    text = "\n\n".join(filter(None, texts)) + "\n"
    tables = _tables(every)
    if earlier:
        tables["earlier_designs.md"] = f"{earlier_table(earlier)}\n"
    return Report(text, tables, figures)


def write_report(preset: Path) -> None:
    """Write the preset's REPORT.md, tables and figures."""
    report = make_report(preset)
    (preset / "tables").mkdir(exist_ok=True)
    for name, content in report.tables.items():
        (preset / "tables" / name).write_text(content, encoding="utf-8")
    for plan in report.figures:
        style.save(plan.draw, preset / "figures", plan.name)
    (preset / "REPORT.md").write_text(report.text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the report of every preset folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("presets", nargs="+", type=Path, help="folders such as results/laptop")
    for preset in parser.parse_args(arguments).presets:
        if not read_sums(preset):
            print(f"{preset} has no {NAME} yet: its tables cannot be checked", file=sys.stderr)
        try:
            write_report(preset)
        except ValueError as error:
            parser.error(str(error))
        print(f"wrote {preset / 'REPORT.md'}")


def _chapter(
    chapter: Chapter, results: list[SectionResult], folder: Path
) -> tuple[str, list[FigurePlan]]:
    texts, figures = [f"## {chapter.title}"], list[FigurePlan]()
    texts += [chapter.note] if chapter.note else []
    for result in results:
        plans = [plan for make in result.section.figures for plan in make(result)]
        texts.append(section_text(result, plans))
        figures += plans
    if chapter.pictures:
        plans, lacking = chapter.pictures(folder)
        texts += ["### Pictures", *map(figure_text, plans), *lacking]
        figures += plans
    return "\n\n".join(texts), figures


def _tables(results: Sequence[SectionResult]) -> dict[str, str]:
    files = {}
    for result in results:
        slug = result.section.slug
        files[f"{slug}.csv"] = _csv(table(result))
        parts = [result.task, comparison_table(result), rival_table(result)]
        files[f"{slug}.md"] = "\n\n".join(filter(None, parts)) + "\n"
        if result.rivals:
            files[f"{slug}_rivals.csv"] = _csv(rivals_table(result))
    return files


def _csv(numbers: pd.DataFrame) -> str:
    return str(numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


if __name__ == "__main__":
    main()
