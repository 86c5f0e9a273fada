"""Answer a chapter's claim from its comparisons: it holds, was not found, or is reversed."""

from collections import Counter
from collections.abc import Iterable, Sequence

from scripts.comparison import Comparison, SectionResult
from scripts.labels import net_name, optimizer_name
from scripts.markdown_table import (
    difference_with_interval,
    listed,
    markdown_table,
    with_interval,
)
from scripts.section_text import task_note
from scripts.sections import Claim

_MOST_NAMED = 2
"""Comparisons without a gain that are named one by one, of a net that gains in others."""


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
    """Write the paragraph that answers the claim, and the table that it rests on."""
    tested = comparisons_that_test(results)
    parts = [verdict_on(claim, tested)]
    if tested:
        parts += [task_note(shared_task(tested)), claim_table(tested)]
    return "\n\n".join(filter(None, parts))


def verdict_on(claim: Claim, tested: Sequence[Comparison]) -> str:
    """Write what the comparisons say to the claim; a sentence each against baseline and rivals."""
    name = f"Claim {claim.letter}, that {claim.statement},"
    if not tested:
        return f"**{name} is not tested by the finished runs.**"
    groups: dict[str, list[Comparison]] = {}
    for one in tested:
        groups.setdefault(one.against, []).append(one)
    if len(groups) == 1:
        return _emphasised(name, *conclusion(claim, tested))
    items = [
        f"- {_emphasised(f'against {against or _baselines(group)} it', *conclusion(claim, group))}"
        for against, group in groups.items()
    ]
    return "\n".join([f"**{name.removesuffix(',')}:**\n", *items])


def _emphasised(what: str, verdict: str, more: str) -> str:
    return f"**{what} {verdict}** {more}".strip()


def shared_task(compared: Iterable[Comparison]) -> str:
    """Give the task of all comparisons; empty if they differ in it."""
    tasks = {one.task for one in compared}
    return tasks.pop() if len(tasks) == 1 else ""


def _baselines(compared: Sequence[Comparison]) -> str:
    return listed(list(dict.fromkeys(f"“{one.baseline_label}”" for one in compared)))


def conclusion(claim: Claim, tested: Sequence[Comparison]) -> tuple[str, str]:
    """Say what the comparisons show taken together, and, if any gain, for whom.

    A gain or loss is counted where the 95 % interval of the paired difference excludes 0.
    """
    decided = [one for one in tested if one.gain is not None]
    if not decided:
        return "cannot be answered yet: no comparison has two pairs.", ""
    gains = [one for one in decided if one.gain == 1]
    losses = [one for one in decided if one.gain == -1]
    total = f"{len(decided)} comparison{'s' * (len(decided) > 1)}"
    alone = "the one comparison " + ("made" if len(tested) == 1 else "with two pairs or more")
    if len(gains) == len(decided):
        return f"holds in all of {total}." if len(decided) > 1 else f"holds in {alone}.", ""
    if len(losses) == len(decided):
        return f"is reversed in all of {total}." if len(decided) > 1 else "is reversed.", ""
    if not gains:
        tail = f"; it is reversed in {len(losses)}." if losses else "."
        return f"was not found in {f'any of {total}' if len(decided) > 1 else alone}{tail}", ""
    tail = f", is reversed in {len(losses)}" if losses else ""
    text = f"holds in {len(gains)} of {total}{tail}, and was not found in the others."
    if len(gains) + len(losses) == len(decided):
        text = f"holds in {len(gains)} of {total} and is reversed in the others."
    return text, _whose_gain(claim, decided)


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


def setting_name(one: Comparison) -> str:
    """Name net and optimizer of a comparison."""
    return f"{net_name(one.arm.settings)}, {optimizer_name(one.arm.settings)}"


def _whose_gain(claim: Claim, decided: Sequence[Comparison]) -> str:
    """Name the nets and optimizers that have the gain, and say what is known of the others.

    Baselines leave unequal amounts to gain: so what counts is the share of that amount, and for
    the others whether their intervals exclude even the low end of the gains' intervals.
    """
    gains = [one for one in decided if one.gain == 1]
    having = list(dict.fromkeys(_net_and_optimizer(one) for one in gains))
    others = _without_gain(decided, having)
    if not others:
        return ""
    only = " only" if any(_net_and_optimizer(one) not in having for one in decided) else ""
    found = f"{claim.gain}, {_size(gains)}, was found with {listed(having)}{only}."
    return " ".join([found, *(_not_found(*other, gains) for other in others.items())])


def _without_gain(
    decided: Sequence[Comparison], having: Sequence[str]
) -> dict[str, list[Comparison]]:
    """Group the comparisons without a gain by net and optimizer; by place where these gain too."""
    without = [one for one in decided if one.gain != 1]
    count = Counter(_net_and_optimizer(one) for one in without)
    groups: dict[str, list[Comparison]] = {}
    for one in without:
        name = _net_and_optimizer(one)
        if name in having:
            name += f" in “{where(one)}”" if count[name] <= _MOST_NAMED else " elsewhere"
        groups.setdefault(name, []).append(one)
    return groups


def _size(gains: Sequence[Comparison]) -> str:
    """Say how large the smallest gain is, as a share of what there was to gain."""
    metric = gains[0].section.metric
    several = len(gains) > 1
    share = 100 * min(one.gained_share for one in gains)
    return (
        f"{'at least ' * several}{share:.0f} % of the way from the baseline's {metric.label} to "
        f"{metric.best:g} (interval{'s' * several} from {100 * _least_share(gains):.2g} % on)"
    )


def _least_share(gains: Sequence[Comparison]) -> float:
    return min(one.least_share for one in gains)


def _net_and_optimizer(one: Comparison) -> str:
    return f"{net_name(one.arm.settings)} under {optimizer_name(one.arm.settings)}"


def _not_found(name: str, group: Sequence[Comparison], gains: Sequence[Comparison]) -> str:
    """Say whether the intervals exclude the low end of ``gains``, and whether there is room."""
    share = _least_share(gains)
    excluded = [one for one in group if not one.allows(share)]
    text = "neither found nor excluded"
    if len(excluded) == len(group):
        text = "excluded"
    elif excluded:
        text = f"excluded in {len(excluded)} of {len(group)} comparisons, {text} in the others"
    room = _little_room(group, min(one.gained for one in gains))
    return f"With {name} a gain of {100 * share:.2g} % of the way is {text}{room}."


def _little_room(group: Sequence[Comparison], amount: float) -> str:
    """Say which baselines leave less to gain than ``amount``; nothing if none does."""
    decimals = group[0].section.metric.decimals
    left = [f"{one.room:.{decimals}f}" for one in group if one.room < amount]
    if not left:
        return ""
    found = f"less than the {amount:.{decimals}f} found"
    if len(group) == 1:
        return f"; its baseline leaves {left[0]} to gain, {found}"
    return f"; in {len(left)} of {len(group)} the baseline leaves {found}: {listed(left)}"


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
