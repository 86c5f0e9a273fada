"""Which rows of a data set make its training, validation and test sets: drawn by named streams."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backdrop.streams import generator

Rows = NDArray[np.int64]


def draw(
    targets: Rows,
    counts: Mapping[int, int],
    seed: int,
    *names: str,
    among: NDArray[np.bool_] | None = None,
) -> Rows:
    """Draw ``counts[t]`` rows of each target t at random, and give them in rising order.

    A draw of fewer rows from the same stream is a part of a draw of more.

    Args:
        targets: of all rows (N,).
        counts: rows wanted, by target.
        seed, names: the random stream.
        among: (N,) the rows that may be drawn; all by default.

    Raises:
        ValueError: there are fewer rows of some target than wanted.
    """
    drawn = []
    for target, count in counts.items():
        rows = np.flatnonzero((targets == target) & (True if among is None else among))
        if count > len(rows):
            raise ValueError(
                f"{'/'.join(names)}: {count} rows of target {target} are wanted and {len(rows)} are"
                " left; ask for smaller sets or fewer positives"
            )
        drawn.append(generator(seed, *names, target).permutation(rows)[:count])
    return np.sort(np.concatenate(drawn))


def without(rows: Rows, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give ``among`` (N,) with ``rows`` taken out."""
    left = among.copy()
    left[rows] = False
    return left


def one_against_rest(
    sizes: Mapping[str, int], fraction: float, evaluation_positives: int
) -> dict[str, dict[int, int]]:
    """Give the counts of targets 0 and 1 in each split, with a fraction of positives.

    Where the fraction gives fewer, the positives are raised to one in the training set and to
    ``evaluation_positives`` in the others.

    Raises:
        ValueError: no room is left for a negative.
    """
    counts = {}
    for split, size in sizes.items():
        positives = max(round(size * fraction), 1 if split == "train" else evaluation_positives)
        if positives >= size:
            raise ValueError(f"{split} must be larger than its {positives} positives; got {size}")
        counts[split] = {0: size - positives, 1: positives}
    return counts


def proportional(targets: Rows, size: int) -> dict[int, int]:
    """Give the counts of a set of ``size`` rows whose targets are in the proportions of all rows.

    What rounding leaves goes to the largest remainders.
    """
    values, totals = np.unique(targets, return_counts=True)
    whole, remainders = np.divmod(totals * size, len(targets))
    more = np.argsort(-remainders, kind="stable")[: size - whole.sum()]
    whole[more] += 1
    return dict(zip(values.tolist(), whole.tolist(), strict=True))


def check_fraction(name: str, fraction: float) -> None:
    """Raise ValueError unless ``fraction`` is above 0 and below 1."""
    if not 0 < fraction < 1:
        raise ValueError(f"{name} must be above 0 and below 1; got {fraction}")


def check_room(sizes: Mapping[str, int], rooms: Mapping[tuple[str, ...], int]) -> None:
    """Raise ValueError if a set is empty, or sets are together larger than the rows they share.

    Args:
        sizes: rows in each set.
        rooms: the rows that there are for one set or several together.
    """
    for split, size in sizes.items():
        if size < 1:
            raise ValueError(f"{split} must be at least 1; got {size}")
    for splits, room in rooms.items():
        wanted = [sizes[split] for split in splits]
        if sum(wanted) > room:
            raise ValueError(
                f"{' + '.join(splits)} must be at most {room}; got {' + '.join(map(str, wanted))}"
            )
