"""What all presets together say to the claims: the README's table, a figure, and their numbers.

python -m scripts.summary           # results/claims.csv and .png; the table into README.md
python -m scripts.summary --print   # only print the table
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts.compare.claims import Evidence, evidence
from scripts.compare.comparison import Result, compare_all
from scripts.figures import style
from scripts.figures.claims import draw_claims
from scripts.read.declared import Chapter, folder_of
from scripts.read.preset import read_preset
from scripts.write.claims import claim_rows, readme_table
from scripts.write.markdown import with_marked
from scripts.write.tables import csv

BY_SIZE = ("primary", "smoke", "laptop", "extended", "paper")
MARKER = "results"
NAME = "claims"


def claims_of(results: Path) -> list[Evidence]:
    """Gather what the presets under a folder say to each claim that they test.

    A comparison that several presets hold counts once.
    """
    chapters: dict[str, Chapter] = {}
    found: dict[str, list[Result]] = {}
    for table in sorted(results.glob("*/runs.csv"), key=_place):
        preset = read_preset(table.parent)
        chapters |= preset.declared.chapters
        testing = [name for name, one in preset.declared.experiments.items() if one.claim]
        for name, result in compare_all(preset, testing).items():
            found.setdefault(folder_of(name), []).append(result)
    answers = [
        evidence(chapter.claim, found.get(folder, []))
        for folder, chapter in chapters.items()
        if chapter.claim
    ]
    return [one for one in answers if one.comparisons]


def numbers(found: Sequence[Evidence]) -> str:
    """Write claims.csv: a row for each comparison of each claim, and for what is pooled."""
    return csv([row for one in found for row in claim_rows(one)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figure and the tables, or only print the README's."""
    parser = argparse.ArgumentParser(description="What all presets together say to the claims.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--print", action="store_true", help="only print the README's table")
    options = parser.parse_args(arguments)
    try:
        found = claims_of(options.results)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    if options.print or not found:
        print(readme_table(found))
        return
    (options.results / f"{NAME}.csv").write_text(numbers(found), encoding="utf-8")
    style.save(lambda: draw_claims(found), options.results, NAME)
    print(f"wrote {options.results / NAME}.csv and .png")
    readme = options.readme.read_text(encoding="utf-8") if options.readme.exists() else ""
    if f"<!-- {MARKER}:begin -->" in readme:
        text = with_marked(readme, readme_table(found), MARKER)
        options.readme.write_text(text, encoding="utf-8")
        print(f"wrote the results table of {options.readme}")


def _place(table: Path) -> tuple[int, str]:
    """Order presets by what they take; those of one's own by name, after these."""
    name = table.parent.name
    return BY_SIZE.index(name) if name in BY_SIZE else len(BY_SIZE), name


if __name__ == "__main__":
    main()
