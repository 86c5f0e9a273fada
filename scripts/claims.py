"""Answer a chapter's claim from its comparisons: it holds, was not found, or is reversed."""

from collections.abc import Iterable, Sequence

from scripts.comparison import Comparison, SectionResult
from scripts.labels import net_name, optimizer_name
from scripts.markdown_table import (
    difference_with_interval,
    listed,
    markdown_table,
    with_interval,
)
from scripts.sections import Claim


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
    name = f"Claim {claim.letter}, that {claim.statement},"
    if not tested:
        return f"**{name} is not tested by the finished runs of this preset.**"
    arms = {one.arm.label for one in tested}
    named = len(arms) > 1
    of_what = "" if named else f" of “{tested[0].arm.label}” to “{tested[0].baseline_label}”"
    details = "; ".join(_in_brief(one, named) for one in tested)
    paragraph = f"**{name} {conclusion(claim, tested)}** Paired differences{of_what}: {details}."
    return f"{paragraph}\n\n{claim_table(tested)}"


def conclusion(claim: Claim, tested: Sequence[Comparison]) -> str:
    """Say what the comparisons show taken together.

    A gain or loss is counted where the 95 % interval of the paired difference excludes 0.
    """
    decided = [one for one in tested if one.gain is not None]
    if not decided:
        return "cannot be answered yet: no comparison has two pairs."
    gains = [one for one in decided if one.gain == 1]
    losses = [one for one in decided if one.gain == -1]
    total = f"{len(decided)} comparison{'s' * (len(decided) > 1)}"
    if len(gains) == len(decided):
        return (
            f"holds in all of {total}." if len(decided) > 1 else "holds in the one comparison made."
        )
    if len(losses) == len(decided):
        return f"is reversed in all of {total}." if len(decided) > 1 else "is reversed."
    if not gains:
        tail = f"; it is reversed in {len(losses)}." if losses else "."
        return f"was not found in any of {total}{tail}"
    tail = f", is reversed in {len(losses)}" if losses else ""
    text = f"holds in {len(gains)} of {total}{tail}, and was not found in the others."
    if len(gains) + len(losses) == len(decided):
        text = f"holds in {len(gains)} of {total} and is reversed in the others."
    return f"{text} {_whose_gain(claim, decided)}".strip()


def claim_table(tested: Sequence[Comparison]) -> str:
    """Write a row for each comparison that bears on the claim."""
    noun = tested[0].section.metric.label
    header = ["experiment", "net", "optimizer", "arm", noun, f"{noun} of the baseline"]
    header += ["difference, paired", "verdict", "task"]
    return markdown_table(header, [_row(one) for one in tested])


def setting_name(one: Comparison) -> str:
    """Name net and optimizer of a comparison."""
    return f"{net_name(one.arm.settings)}, {optimizer_name(one.arm.settings)}"


def _whose_gain(claim: Claim, decided: Sequence[Comparison]) -> str:
    """Name the nets that have the gain, that have not, and that leave it open.

    A net has not got it where every interval excludes the smallest gain that was found; where one
    holds both 0 and that gain, too few or too unequal runs leave it open.
    """
    nets = list(dict.fromkeys(net_name(one.arm.settings) for one in decided))
    gains = [one for one in decided if one.gain == 1]
    smallest = min((one.difference.mean for one in gains if one.difference), key=abs)
    having = [net for net in nets if net in {net_name(one.arm.settings) for one in gains}]
    unclear = [
        net_name(one.arm.settings)
        for one in decided
        if one.difference and one.difference.low <= smallest <= one.difference.high
    ]
    open_nets = [net for net in nets if net not in having and net in unclear]
    lacking = [net for net in nets if net not in having and net not in unclear]
    texts = []
    if lacking:
        texts.append(
            f"{claim.gain} belongs to {listed(having)} only; with {listed(lacking)} none was found."
        )
    if open_nets:
        texts.append(f"With {listed(open_nets)} the intervals are too wide to tell.")
    return " ".join(texts)


def _in_brief(one: Comparison, arm_named: bool) -> str:
    where = f"{one.section.title}, {setting_name(one)}"
    if arm_named:
        where += f", {one.arm.label}"
    task = f" ({one.task})" if one.task else ""
    difference = difference_with_interval(one.difference, one.section.metric.decimals)
    return f"{where}{task}: {difference}, {short_verdict(one)}"


def short_verdict(one: Comparison) -> str:
    """Give the verdict without the interval, where the interval stands beside it."""
    return one.verdict.split(" (")[0]


def _row(one: Comparison) -> list[str]:
    decimals = one.section.metric.decimals
    return [
        one.section.title,
        net_name(one.arm.settings),
        optimizer_name(one.arm.settings),
        one.arm.label,
        with_interval(one.final, decimals),
        with_interval(one.baseline_final, decimals),
        difference_with_interval(one.difference, decimals),
        short_verdict(one),
        one.task,
    ]
