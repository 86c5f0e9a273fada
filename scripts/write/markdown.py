"""Write numbers with their intervals, rows of them as a Markdown table, and that into a page."""

import math
from collections.abc import Sequence

from scripts.compare.comparison import DECIMALS
from scripts.compare.intervals import Interval

GAP = "—"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; columns that are empty in every row are left out.

    >>> print(markdown_table(["arm", "note"], [["none", ""], ["fine 0.5", ""]]))
    | arm |
    | --- |
    | none |
    | fine 0.5 |
    """
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    lines = [_line([header[place] for place in kept]), _line(["---"] * len(kept))]
    return "\n".join(lines + [_line([row[place] for place in kept]) for row in rows])


def with_interval(interval: Interval, decimals: int = DECIMALS, sign: bool = False) -> str:
    """Write a mean with its interval, as ``0.211 [0.180, 0.242]``; differences with their sign."""
    if interval.n == 0:
        return GAP
    numbers = (interval.mean, interval.low, interval.high)
    if sign:
        mean, low, high = (signed(number, decimals) for number in numbers)
    else:
        mean, low, high = (f"{number:.{decimals}f}".replace("-", "−") for number in numbers)
    return f"{mean} [{low}, {high}]" if interval.defined else f"{mean} (one seed)"


def difference_with_interval(interval: Interval, decimals: int = DECIMALS) -> str:
    """Write a paired difference with its sign, interval and number of pairs.

    It has as many decimals as it takes to show that 0 lies outside, where it does.

    >>> difference_with_interval(Interval(0.01, 0.0002, 0.0198, 5))
    '+0.0100 [+0.0002, +0.0198], 5 pairs'
    """
    if interval.n == 0:
        return GAP
    nearest = min(abs(interval.low), abs(interval.high))
    while interval.excludes_zero and nearest < 0.5 * 10**-decimals:
        decimals += 1
    mean = signed(interval.mean, decimals)
    if not interval.defined:
        return f"{mean} (one pair)"
    low, high = signed(interval.low, decimals), signed(interval.high, decimals)
    return f"{mean} [{low}, {high}], {interval.n} pairs"


def signed(value: float, decimals: int = DECIMALS) -> str:
    """Write a difference with its sign, a true minus, and no −0.

    >>> signed(-0.0891), signed(0.02), signed(-0.0001)
    ('−0.089', '+0.020', '0.000')
    """
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def amount(value: float) -> str:
    """Write a number with three figures; a gap for none.

    >>> amount(0.8314), amount(1234.5)
    ('0.831', '1234')
    """
    if math.isnan(value):
        return GAP
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def listed(items: Sequence[str]) -> str:
    """Join items as in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def with_marked(page: str, content: str, marker: str) -> str:
    """Give a page's text with ``content`` between its markers of that name.

    Raises:
        ValueError: if the markers are not there, once each and in order.
    """
    opening, closing = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, begin, rest = page.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end or opening in after or closing in after:
        raise ValueError(f"the page must hold {opening} and then {closing}, once each")
    return f"{before}{opening}\n{content}\n{closing}{after}"


def folded(text: str, count: int, noun: str, least: int) -> str:
    """Fold a text away that stands for so many things, if they are at least so many."""
    if count < least:
        return text
    return f"<details>\n<summary>{count} {noun}</summary>\n\n{text}\n\n</details>"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"
