"""Write what rows of earlier designs say."""

from collections.abc import Sequence

import pandas as pd

from scripts.compare.comparison import Comparison
from scripts.read.naming import in_words
from scripts.write.claims import net_name
from scripts.write.markdown import (
    difference_with_interval,
    folded,
    markdown_table,
    with_interval,
)


def earlier_text(rows: pd.DataFrame, compared: Sequence[Comparison]) -> str:
    """Write what has become of the rows of earlier designs; nothing if there are none."""
    if rows.empty:
        return ""
    shown = {id for one in compared for ids in one.runs_compared for id in ids}
    others = sum(id not in shown for id in rows["id"])
    text = (
        f"## Earlier designs\n\n{len(rows)} finished rows of `runs.csv` belong to no experiment "
        "any more: their rates, sizes or probabilities were replaced after a wider search. They "
        "stay, and where they can be compared with arms of a claim they are, so that nothing that "
        f"they say is lost; {others} have nothing to be compared with."
    )
    if not compared:
        return text
    numbers = "Numbers: [earlier_designs.csv](tables/earlier_designs.csv)."
    table = folded(earlier_table(compared), len(compared), "comparisons", 1)
    return f"{text}\n\n{table}\n\n{numbers}"


def earlier_table(compared: Sequence[Comparison]) -> str:
    """Write the comparisons as a Markdown table, with the arm's learning rate."""
    header = ["setting", "net", "learning rate", "arm", "against", "metric", "of the arm"]
    header += ["of the other", "difference, paired", "verdict"]
    return markdown_table(header, [_row(one) for one in compared])


def _row(one: Comparison) -> list[str]:
    return [
        one.arm.setting,
        net_name(one.arm),
        in_words(one.arm.config("optimizer.lr")),
        one.arm.label,
        one.other_label,
        one.experiment.metric.label,
        with_interval(one.final),
        with_interval(one.other_final),
        difference_with_interval(one.difference),
        one.verdict,
    ]
