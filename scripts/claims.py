"""Answer a claim: its closest comparison, all of them pooled, and a verdict on each."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.comparison import Comparison, SectionResult
from scripts.labels import net_name, optimizer_name
from scripts.markdown_table import difference_with_interval, listed, markdown_table, with_interval
from scripts.pooled import Pooled, pool
from scripts.section_text import task_note
from scripts.sections import Claim
from scripts.verdicts import LEAST_PAIRS, Verdict

PAGE = "docs/findings.md"
"""Says of each claim what its rows cannot decide and what speaks against it."""


@dataclass(frozen=True)
class Group:
    """The comparisons of a claim with one kind of rival, and their pooled gain if there is one."""

    against: str
    comparisons: tuple[Comparison, ...]
    pooled: Pooled | None


@dataclass(frozen=True)
class Evidence:
    """What the finished runs say to a claim.

    ``primary`` is the comparison that stands in for the declared one, None if it has no pairs;
    ``groups`` are all comparisons, by what they are made with.
    """

    claim: Claim
    primary: Comparison | None
    groups: tuple[Group, ...]

    @property
    def comparisons(self) -> list[Comparison]:
        """Give all comparisons, by group."""
        return [one for group in self.groups for one in group.comparisons]

    @property
    def primary_group(self) -> Group | None:
        """Give the comparisons with the same kind of rival as the primary one."""
        _, _, rival = self.claim.stands_in
        return next((group for group in self.groups if group.against == rival), None)


def evidence(claim: Claim, tested: Sequence[Comparison]) -> Evidence:
    """Gather what comparisons say to a claim, given those that bear on it, each once."""
    names = dict.fromkeys(one.against for one in tested)
    groups = [_group(name, [one for one in tested if one.against == name]) for name in names]
    experiment, setting, rival = claim.stands_in
    wanted = (experiment, setting, rival)
    primary = next((one for one in tested if _place(one) == wanted), None)
    return Evidence(claim, primary, tuple(groups))


def _group(against: str, comparisons: Sequence[Comparison]) -> Group:
    return Group(against, tuple(comparisons), pool([one.gains for one in comparisons]))


def _place(one: Comparison) -> tuple[str, str, str]:
    return one.section.experiment, one.arm.context_label, one.against


def comparisons_that_test(results: Sequence[SectionResult]) -> list[Comparison]:
    """Give the comparisons that bear on the claim; one that stands in two sections counts once."""
    return distinct(one for result in results if result.section.tests_claim for one in result.main)


def distinct(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Leave out comparisons whose runs, on both sides, are all among those of another one."""
    kept: dict[tuple[frozenset[str], frozenset[str]], Comparison] = {}
    for one in comparisons:
        kept.setdefault(one.runs_compared, one)
    return [one for runs, one in kept.items() if not any(_within(runs, other) for other in kept)]


def _within(runs: tuple[frozenset[str], ...], other: tuple[frozenset[str], ...]) -> bool:
    return runs != other and all(few <= many for few, many in zip(runs, other, strict=True))


def answer(claim: Claim, results: Sequence[SectionResult]) -> str:
    """Write what a preset's runs say to the claim, and the table that this rests on."""
    found = evidence(claim, comparisons_that_test(results))
    tested = found.comparisons
    name = f"**Claim {claim.letter}**, that {claim.statement}"
    if not tested:
        return f"{name}, is not tested by the finished runs."
    parts = [
        f"{name}. Smallest effect of interest: {claim.smallest_effect:g}.",
        _primary_text(found),
        "\n".join(f"- {_group_text(group)}" for group in found.groups),
        f"Old seeds, and rivals that were not searched as widely as the masks: [what these rows "
        f"cannot decide and what speaks against the claim](../../{PAGE}).",
        task_note(shared_task(tested)),
        claim_table(tested),
    ]
    return "\n\n".join(filter(None, parts))


def _primary_text(found: Evidence) -> str:
    text = f"It is to be decided by {found.claim.primary}. That has not been run"
    if found.primary is None:
        return f"{text}, nor has, in this preset, the comparison closest to it."
    one = found.primary
    place = f"{place_of(one)}, {sides_of(one)}"
    return f"{text}; closest to it is {place}: gain {gain_in_words(one)}: {one.verdict}."


def place_of(one: Comparison) -> str:
    """Name the experiment of a comparison, and the setting in it."""
    return ", ".join(filter(None, [f"`{one.section.experiment}`", one.arm.context_label]))


def sides_of(one: Comparison) -> str:
    """Name the two arms of a comparison."""
    return f"{one.arm.label} against {one.baseline_label}"


def _group_text(group: Group) -> str:
    """Write the pooled gain of a group, and how many comparisons have which verdict."""
    against = group.against or f"“{listed(_baselines(group.comparisons))}”"
    return f"Against {against}: {pooled_in_words(group)}. {verdict_counts(group.comparisons)}"


def _baselines(compared: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(one.baseline_label for one in compared))


def gain_in_words(one: Comparison) -> str:
    """Write the gain of a comparison, above 0 where the arm is better."""
    return difference_with_interval(one.gain, one.section.metric.decimals)


def pooled_in_words(group: Group) -> str:
    """Write the pooled gain of a group, and where that of one more task would lie."""
    if group.pooled is None:
        return f"nothing to pool in {_counted(len(group.comparisons), 'comparison')}"
    decimals = group.comparisons[0].section.metric.decimals
    mean, new = group.pooled.mean, group.pooled.new_task
    text = f"pooled gain {with_interval(mean, decimals, sign=True)} over {mean.n} comparisons"
    if not math.isnan(new.low):
        ends = with_interval(new, decimals, sign=True).partition(" ")[2]
        text += f", that of one more task in {ends}"
    return f"{text} (I² {group.pooled.heterogeneity:.2f})"


def verdict_counts(compared: Sequence[Comparison]) -> str:
    """Count verdicts, and the comparisons with too few pairs for one."""
    counts = {kind: sum(one.judged is kind for one in compared) for kind in Verdict}
    parts = [f"{count} {kind.value}" for kind, count in counts.items() if count]
    few = sum(len(one.gains) < LEAST_PAIRS for one in compared)
    text = f"Verdicts: {listed(parts)}"
    return f"{text}, {few} of these for want of {LEAST_PAIRS} pairs." if few else f"{text}."


def shared_task(compared: Iterable[Comparison]) -> str:
    """Give the task of all comparisons; empty if they differ in it."""
    tasks = {one.task for one in compared}
    return tasks.pop() if len(tasks) == 1 else ""


def claim_table(tested: Sequence[Comparison]) -> str:
    """Write a row for each comparison that bears on the claim."""
    noun = tested[0].section.metric.label
    task_named = not shared_task(tested)
    header = ["experiment", "net", "optimizer", "arm", "against", noun, f"{noun} of the other"]
    header += ["difference, paired", "verdict", "task"]
    return markdown_table(header, [_row(one, task_named) for one in tested])


def where(one: Comparison) -> str:
    """Name the section of a comparison, and the setting in it."""
    return ", ".join(filter(None, [one.section.title, one.arm.context_label]))


def _row(one: Comparison, task_named: bool) -> list[str]:
    decimals = one.section.metric.decimals
    return [
        where(one),
        net_name(one.arm.settings),
        optimizer_name(one.arm.settings),
        one.arm.label,
        one.baseline_label,
        with_interval(one.final, decimals),
        with_interval(one.baseline_final, decimals),
        difference_with_interval(one.difference, decimals),
        one.verdict,
        one.task if task_named else "",
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
