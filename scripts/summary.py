"""Keep the results table of the README equal to the committed runs.

python -m scripts.summary           # put it into README.md, between the markers
python -m scripts.summary --print   # only print it
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts.chapters import CHAPTERS, compare_sections
from scripts.claims import distinct, setting_name, shared_task, verdict_on
from scripts.comparison import Comparison
from scripts.intervals import LEVEL
from scripts.markdown_table import difference_with_interval, listed, markdown_table, with_interval
from scripts.results_table import read_curves, read_runs
from scripts.section_text import task_note
from scripts.sections import Chapter

BY_SIZE = ("smoke", "laptop", "extended", "paper")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def summary(results: Path) -> str:
    """Write, for each claim, what all presets say to it, and a row for each main comparison.

    A comparison that several presets hold is given once, with the command of the smallest; those
    with rivals are given where they test a claim.
    """
    presets = sorted(results.glob("*/runs.csv"), key=_place)
    found = [
        (one, table.parent.name) for table in presets for one in main_comparisons(table.parent)
    ]
    names = {one.runs_compared: preset for one, preset in reversed(found)}
    smallest = found[0][1] if found else ""
    kept = [
        one
        for one in distinct(one for one, _ in found)
        if not one.against or one.section.tests_claim
    ]
    if not kept:
        return "No main comparison has finished runs yet."
    parts = []
    for chapter in CHAPTERS:
        experiments = {section.experiment for section in chapter.sections}
        own = [one for one in kept if one.section.experiment in experiments]
        if own:
            by_preset = [(one, names[one.runs_compared]) for one in own]
            parts.append(_claim_summary(chapter, by_preset, smallest))
    return "\n\n".join([*parts, _cautions(kept)])


def _place(table: Path) -> tuple[int, str]:
    """Order presets by what they take; those of one's own by name, after these."""
    name = table.parent.name
    return BY_SIZE.index(name) if name in BY_SIZE else len(BY_SIZE), name


def _cautions(kept: Sequence[Comparison]) -> str:
    tests = sum(one.section.tests_claim and one.gain is not None for one in kept)
    return (
        "Means and paired differences with 95 % intervals over seeds. All seeds of an experiment "
        "share its test set: the intervals do not cover the draw of it. The claims are tested by "
        f"{tests} comparisons; if nothing differed, about {tests * (1 - LEVEL):.1f} intervals "
        "would still exclude 0. Details, figures and gaps are in `results/<preset>/REPORT.md`."
    )


def main_comparisons(preset: Path) -> list[Comparison]:
    """Give the preset's main comparisons; one that stands in two sections is given once."""
    runs, curves = read_runs(preset / "runs.csv"), read_curves(preset / "curves.csv")
    sections = [section for chapter in CHAPTERS for section in chapter.sections]
    return distinct(
        one for result in compare_sections(sections, runs, curves) for one in result.main
    )


def with_summary(readme: str, table: str, marker: str = "results") -> str:
    """Give the README's text with ``table`` between the markers of that name.

    Raises:
        ValueError: if the markers are not there, once each and in order.
    """
    opening, closing = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, begin, rest = readme.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end or opening in after or closing in after:
        raise ValueError(f"the README must hold {opening} and then {closing}, once each")
    return f"{before}{opening}\n{table}\n{closing}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table into the README, or print it where there is no place for it."""
    parser = argparse.ArgumentParser(description="The README's results table.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--print", action="store_true", help="only print the table")
    options = parser.parse_args(arguments)
    table = summary(options.results)
    readme = options.readme.read_text(encoding="utf-8") if options.readme.exists() else ""
    if options.print or BEGIN not in readme:
        print(table)
    else:
        options.readme.write_text(with_summary(readme, table), encoding="utf-8")
        print(f"wrote the results table of {options.readme}")


def _claim_summary(
    chapter: Chapter, compared: Sequence[tuple[Comparison, str]], smallest: str
) -> str:
    """Write the comparisons of a chapter; what holds for all of them stands above the tables.

    Each preset has a table with its command, and those beyond the smallest are folded; what stands
    beside the claim without testing it has a table of its own.
    """
    shared = shared_task(one for one, _ in compared)
    tested = [one for one, _ in compared if one.section.tests_claim]
    about = verdict_on(chapter.claim, tested) if chapter.claim else f"{chapter.title}:"
    parts = [about, task_note(shared)]
    groups: dict[tuple[str, bool], list[Comparison]] = {}
    for one, preset in compared:
        aside = chapter.claim is not None and not one.section.tests_claim
        groups.setdefault((preset, aside), []).append(one)
    for (preset, aside), own in groups.items():
        table = _table(own, task_named=not shared)
        command = f"make reproduce-paper PRESET={preset}"
        if preset == smallest:
            parts.append(f"By `{command}`:\n\n{table}")
        else:
            noun = f"comparison{'s' * (len(own) > 1)}{' beside the claim' * aside}"
            title = f"{len(own)} {noun} by <code>{command}</code>"
            parts.append(f"<details><summary>{title}</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(filter(None, parts))


def _table(compared: Sequence[Comparison], task_named: bool) -> str:
    labels = listed(list(dict.fromkeys(one.section.metric.label for one in compared)))
    header = ["experiment", "net, optimizer", "arm", labels, "of the other"]
    header += ["difference, paired", "verdict"]
    return markdown_table(header, [_row(one, task_named) for one in compared])


def _row(one: Comparison, task_named: bool) -> list[str]:
    decimals = one.section.metric.decimals
    about = ", ".join(filter(None, [one.arm.context_label, one.task if task_named else ""]))
    return [
        f"`{one.section.experiment}`{f' ({about})' if about else ''}",
        setting_name(one),
        f"{one.arm.label} against {one.baseline_label}",
        with_interval(one.final, decimals),
        with_interval(one.baseline_final, decimals),
        difference_with_interval(one.difference, decimals),
        one.verdict,
    ]


if __name__ == "__main__":
    main()
