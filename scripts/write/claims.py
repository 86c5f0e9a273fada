"""Write what was found on a claim: its closest comparison, what is pooled, and all comparisons."""

import math
from collections.abc import Iterable, Sequence

from scripts.compare.arms import Arm
from scripts.compare.claims import Evidence, Group
from scripts.compare.comparison import Comparison
from scripts.compare.verdicts import LEAST_PAIRS, Verdict
from scripts.read.naming import in_words
from scripts.write.experiment import both_sides, task_note
from scripts.write.markdown import (
    GAP,
    difference_with_interval,
    listed,
    markdown_table,
    with_interval,
)
from scripts.write.tables import bounds

PAGE = "docs/findings.md"
"""Says of each claim what its rows cannot decide and what speaks against it."""
ADAM_BETAS = (0.9, 0.999)
"""What torch's Adam takes where nothing is said."""


def answer(found: Evidence) -> str:
    """Write what a preset's runs say to the claim, and the table that this rests on."""
    claim, tested = found.claim, found.comparisons
    name = f"**Claim {claim.letter}**, that {claim.statement}"
    if not tested:
        return f"{name}, is not tested by the finished runs."
    parts = [
        f"{name}. Smallest effect of interest: {claim.smallest_effect:g}.",
        _primary_text(found),
        "\n".join(f"- {_group_text(group)}" for group in found.groups),
        f"[What these rows cannot decide, and what speaks against the claim](../../{PAGE}).",
        task_note(shared_task(tested)),
        claim_table(tested),
    ]
    return "\n\n".join(filter(None, parts))


def readme_table(found: Sequence[Evidence]) -> str:
    """Write a row a claim: what decides it, what was found closest to that, pooled, verdict."""
    if not found:
        return "No comparison that bears on a claim has finished runs yet."
    header = ["claim", "primary comparison, or the closest to it", "gain", "pooled gain", "verdict"]
    return markdown_table(header, [_readme_row(one) for one in found])


def claim_rows(found: Evidence) -> list[dict[str, object]]:
    """Give a row for each comparison of a claim, and for what is pooled of them."""
    shared = {"claim": found.claim.letter, "smallest_effect": found.claim.smallest_effect}
    rows = []
    for group in found.groups:
        rows += [shared | _numbers(one, found.role(one)) for one in group.comparisons]
        if group.pooled:
            mean = group.pooled.mean
            rows.append(
                shared
                | {"experiment": "pooled", "against": group.against}
                | bounds("gain", mean)
                | {
                    "new_task_low": group.pooled.new_task.low,
                    "new_task_high": group.pooled.new_task.high,
                    "comparisons": mean.n,
                    "heterogeneity": group.pooled.heterogeneity,
                }
            )
    return rows


def _numbers(one: Comparison, role: str) -> dict[str, object]:
    return {
        "experiment": one.experiment.name,
        "setting": one.arm.setting,
        "arm": one.arm.label,
        "against": one.other_label,
        "role": role,
        **bounds("gain", one.gain),
        "pairs": one.gain.n,
        "verdict": one.judged.value,
    }


def _readme_row(found: Evidence) -> list[str]:
    claim, one = found.claim, found.primary
    named = f"**{claim.letter}** {claim.statement}"
    group = found.primary_group
    pooled = GAP
    if group and group.pooled:
        mean = group.pooled.mean
        pooled = f"{with_interval(mean, sign=True)}, {mean.n} comparisons"
    if one is None:
        return [named, "not run", GAP, pooled, "undecided"]
    compared = f"{found.role(one)}: {_where(one)}"
    return [named, compared, difference_with_interval(one.gain), pooled, one.verdict]


def _primary_text(found: Evidence) -> str:
    one, text = found.primary, f"It is to be decided by {found.claim.primary}."
    if one is None:
        return f"{text} This preset has neither that nor the comparison closest to it."
    gain = difference_with_interval(one.gain)
    if found.is_decided_by_its_primary:
        return f"{text} That is {_where(one)}: gain {gain}. **{one.verdict}.**"
    return (
        f"{text} That has not been run; closest to it is {_where(one)}: gain {gain}: {one.verdict}."
    )


def _where(one: Comparison) -> str:
    """Name the experiment of a comparison, the setting in it, and the two arms."""
    place = ", ".join(filter(None, [f"`{one.experiment.name}`", one.arm.setting]))
    return f"{place}: {one.arm.label} against {one.other_label}"


def _group_text(group: Group) -> str:
    """Write the pooled gain of a group, and how many comparisons have which verdict."""
    against = group.against or f"“{listed(group.others)}”"
    return f"Against {against}: {pooled_in_words(group)}. {verdict_counts(group.comparisons)}"


def pooled_in_words(group: Group) -> str:
    """Write the pooled gain of a group, and where that of one more task would lie."""
    count = len(group.comparisons)
    if group.pooled is None:
        return f"nothing to pool in {count} comparison{'s' * (count != 1)}"
    mean, new = group.pooled.mean, group.pooled.new_task
    text = f"pooled gain {with_interval(mean, sign=True)} over {mean.n} comparisons"
    if not math.isnan(new.low):
        text += f", that of one more task in {with_interval(new, sign=True).partition(' ')[2]}"
    return f"{text} (I² {group.pooled.heterogeneity:.2f})"


def verdict_counts(compared: Sequence[Comparison]) -> str:
    """Count verdicts, and the comparisons with too few pairs for one."""
    found = {kind: sum(one.judged is kind for one in compared) for kind in Verdict}
    parts = [f"{count} {kind.value}" for kind, count in found.items() if count]
    few = sum(len(one.gains) < LEAST_PAIRS for one in compared)
    text = f"Verdicts: {listed(parts)}"
    return f"{text}, {few} of these for want of {LEAST_PAIRS} pairs." if few else f"{text}."


def shared_task(compared: Iterable[Comparison]) -> str:
    """Give the task of all comparisons; empty if they differ in it."""
    tasks = {one.experiment.task for one in compared}
    return tasks.pop() if len(tasks) == 1 else ""


def claim_table(tested: Sequence[Comparison]) -> str:
    """Write a row for each comparison that bears on the claim."""
    noun = tested[0].experiment.metric.label
    task_named = not shared_task(tested)
    header = ["experiment", "setting", "net", "optimizer", "arm", "against", noun]
    header += [f"{noun} of the other", "difference, paired", "verdict", "task"]
    return markdown_table(header, [_row(one, task_named) for one in tested])


def _row(one: Comparison, task_named: bool) -> list[str]:
    return [
        one.experiment.title,
        one.arm.setting,
        net_name(one.arm),
        optimizer_name(one.arm),
        *both_sides(one),
        one.experiment.task if task_named else "",
    ]


def net_name(arm: Arm) -> str:
    """Name the model, with its kind of normalisation where it has one."""
    model = in_words(arm.config("model._target_"))
    norm = arm.config("model.norm") or ("batch" if arm.config("model.batch_norm") else None)
    return f"{model} ({norm} norm)" if norm else model


def optimizer_name(arm: Arm) -> str:
    """Name the optimizer, with an Adam's betas where they are not torch's own."""
    name, betas = in_words(arm.config("optimizer._target_")), arm.config("optimizer.betas")
    return f"{name} (betas {betas[0]:g}, {betas[1]:g})" if betas not in (None, ADAM_BETAS) else name
