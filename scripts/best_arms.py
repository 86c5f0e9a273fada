"""Name what a section that chooses found best, and where better may lie beyond what it tried."""

from collections.abc import Sequence

from scripts.comparison import Comparison, SectionResult
from scripts.markdown_table import markdown_table, with_interval

_MOST_IN_A_SENTENCE = 6


def best_arms(result: SectionResult) -> str:
    """Name the arm with the best mean; where settings vary, the best setting of each arm.

    Empty in a section that does not choose.
    """
    if not result.section.chooses:
        return ""
    metric = result.section.metric
    sign = 1 if metric.lower_is_better else -1
    known = [one for one in result.comparisons if one.final.n]
    best: dict[str, Comparison] = {}
    for one in sorted(known, key=lambda one: sign * one.final.mean):
        best.setdefault(one.arm.label if any(result.contexts) else "", one)
    rows = [
        [one.arm.label, _setting(one, known), with_interval(one.final, metric.decimals)]
        for one in best.values()
    ]
    if len(rows) > _MOST_IN_A_SENTENCE:
        table = markdown_table(["arm", "best setting", metric.label], rows)
        return f"The setting of each arm with the best mean {metric.label}, the best arm first:" + (
            f"\n\n{table}"
        )
    names = [f"{arm}{f' ({setting})' if setting else ''}, {mean}" for arm, setting, mean in rows]
    return f"The best mean {metric.label}: {'; '.join(names)}."


def _setting(one: Comparison, known: Sequence[Comparison]) -> str:
    """Name the setting of an arm, and say so where it is an end of what was tried for the arm."""
    text = one.arm.context_label
    for key, value in one.arm.context.items():
        tried = {other.arm.context[key] for other in known if other.arm.label == one.arm.label}
        if len(tried) > 1 and all(isinstance(each, int | float) for each in tried):
            ends = {min(tried): "lowest", max(tried): "highest"}
            text += f", the {ends[value]} tried" if value in ends else ""
    return text
