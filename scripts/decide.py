"""Say what the primary comparisons of a preset have come to, and which pairs they need next.

python -m scripts.decide results/primary

What was found goes to the standard error; a line `EXPERIMENT=PAIRS` for each comparison that needs
more pairs goes to the standard output, as experiments.reproduce takes it after --pairs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.compare.comparison import compare_all
from scripts.read.preset import read_preset


def decide(folder: Path) -> dict[str, int]:
    """Print each decision, and give the pairs up to which experiments are to be run next."""
    preset = read_preset(folder)
    names = [name for name, one in preset.declared.experiments.items() if one.looks]
    if not names:
        raise ValueError(f"{folder}: no experiment of this preset declares looks")
    wanted: dict[str, int] = {}
    for name, result in compare_all(preset, names).items():
        for one in (one for one in result.tested if one.decision):
            print(
                f"{name}, {one.arm.label} against {one.other_label}: {one.verdict}", file=sys.stderr
            )
            if one.decision and one.decision.next_look:
                wanted[name] = max(wanted.get(name, 0), one.decision.next_look)
    return wanted


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the pairs that are wanted."""
    parser = argparse.ArgumentParser(description="What have the primary comparisons come to?")
    parser.add_argument("preset", type=Path, help="a folder such as results/primary")
    try:
        wanted = decide(parser.parse_args(arguments).preset)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    for name, pairs in wanted.items():
        print(f"{name}={pairs}")


if __name__ == "__main__":
    main()
