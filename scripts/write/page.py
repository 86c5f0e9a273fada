"""The pages of a preset: REPORT.md from top to bottom, and its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.compare.claims import evidence
from scripts.compare.comparison import Comparison, Result
from scripts.compare.earlier_designs import left_over
from scripts.figures.style import FigurePlan
from scripts.read.costs import Cost
from scripts.read.preset import Preset
from scripts.write.claims import answer
from scripts.write.earlier_designs import earlier_text
from scripts.write.experiment import experiment_text, figure_text
from scripts.write.looks import looks_text
from scripts.write.provenance import hardware_text, regeneration_text, unfinished_text
from scripts.write.tables import comparison_rows, csv


@dataclass(frozen=True)
class Report:
    """All that a report is written from.

    ``figures`` are those of each experiment by its name, ``pictures`` those of the preset, with
    lines that name what is ``lacking``.
    """

    preset: Preset
    results: Mapping[str, Result]
    earlier: Sequence[Comparison]
    costs: Sequence[Cost]
    figures: Mapping[str, Sequence[FigurePlan]]
    pictures: Sequence[FigurePlan] = ()
    lacking: Sequence[str] = ()


def page(report: Report) -> str:
    """Write REPORT.md: claims, chapters, other experiments, earlier designs, provenance."""
    preset, results = report.preset, report.results
    chapters = {
        folder: [results[one.name] for one in preset.declared.of_chapter(folder)]
        for folder in preset.declared.chapters
    }
    others = [results[one.name] for one in preset.declared.others]
    asked = {id for frame in preset.frames.values() for id in frame["id"]}
    claims = {
        folder: chapter.claim
        for folder, chapter in preset.declared.chapters.items()
        if chapter.claim and chapters[folder]
    }
    parts = [
        f"# Results of the preset `{preset.name}`",
        *(answer(evidence(claim, chapters[folder])) for folder, claim in claims.items()),
        *(_chapter(report, folder, own) for folder, own in chapters.items() if own),
        "## Other experiments" if others else "",
        *(_experiment(report, result) for result in others),
        earlier_text(left_over(preset), report.earlier),
        unfinished_text(results.values()),
        hardware_text(preset.runs[preset.runs["id"].isin(asked)]),
        regeneration_text(preset.name),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _chapter(report: Report, folder: str, results: Sequence[Result]) -> str:
    chapter = report.preset.declared.chapters[folder]
    parts = [
        f"## {chapter.title}",
        chapter.note,
        *(_experiment(report, result) for result in results),
    ]
    if chapter.pictures:
        parts += ["### Pictures", *map(figure_text, report.pictures), *report.lacking]
    return "\n\n".join(filter(None, parts))


def _experiment(report: Report, result: Result) -> str:
    text = experiment_text(result, report.figures[result.experiment.name], report.costs)
    return "\n\n".join(filter(None, (text, looks_text(result, report.preset.outputs))))


def tables(report: Report) -> dict[str, str]:
    """Write the numbers of every experiment, and of earlier designs, by the files' names."""
    files = {}
    for result in report.results.values():
        slug = result.experiment.slug
        files[f"{slug}.csv"] = csv(comparison_rows(result.comparisons))
        if result.rivals:
            files[f"{slug}_rivals.csv"] = csv(comparison_rows(result.rivals))
    if report.earlier:
        files["earlier_designs.csv"] = csv(comparison_rows(report.earlier))
    return files
