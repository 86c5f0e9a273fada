"""Make the tables, figures and REPORT.md of presets from their committed runs.

    python -m scripts.report results/laptop

It reads runs.csv, curves.csv, arms.csv, experiments.json and pictures/, and results/bench, and
writes tables/, figures/ and REPORT.md beside them, the same bytes each time in one environment.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.compare.comparison import compare_all
from scripts.compare.earlier_designs import earlier_comparisons
from scripts.figures import style
from scripts.figures.declared import declared_figures
from scripts.figures.pictures import texture_pictures
from scripts.read.checked import NAME, read_sums
from scripts.read.costs import read_costs
from scripts.read.preset import read_preset
from scripts.write.page import Report, page, tables


def make_report(folder: Path) -> Report:
    """Compare all arms of a preset and plan its figures; nothing is drawn or saved yet."""
    preset = read_preset(folder)
    results = compare_all(preset)
    pictures, lacking = texture_pictures(folder / "pictures")
    return Report(
        preset=preset,
        results=results,
        earlier=earlier_comparisons(preset),
        costs=read_costs(folder.parent / "bench"),
        figures={name: declared_figures(result) for name, result in results.items()},
        pictures=pictures,
        lacking=lacking,
    )


def write_report(folder: Path) -> None:
    """Write the preset's REPORT.md, tables and figures."""
    report = make_report(folder)
    (folder / "tables").mkdir(exist_ok=True)
    for name, content in tables(report).items():
        (folder / "tables" / name).write_text(content, encoding="utf-8")
    for plan in [plan for plans in report.figures.values() for plan in plans]:
        style.save(plan.draw, folder / "figures", plan.name)
    for plan in report.pictures:
        style.save(plan.draw, folder / "figures", plan.name)
    (folder / "REPORT.md").write_text(page(report), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the report of every preset folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("presets", nargs="+", type=Path, help="folders such as results/laptop")
    for folder in parser.parse_args(arguments).presets:
        try:
            write_report(folder)
        except ValueError as error:
            parser.exit(1, f"{error}\n")
        if not read_sums(folder):
            print(f"{folder} has no {NAME} yet: its tables were not checked", file=sys.stderr)
        print(f"wrote {folder / 'REPORT.md'}")


if __name__ == "__main__":
    main()
