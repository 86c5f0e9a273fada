"""Say whether the runs of a preset that were made here agree with the committed ones.

python -m scripts.agreement results/laptop

It compares runs/reference/laptop.csv and runs/here/laptop.csv in results/, which collecting wrote.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.compare.agreement import compare_sides
from scripts.compare.sides import NothingCommitted, NothingMadeHere, read_sides
from scripts.read.preset import read_arms
from scripts.write.agreement import agreement_text


def agreement(folder: Path) -> str:
    """Write the agreement of a preset.

    Raises:
        NothingCommitted, NothingMadeHere: there is nothing to compare.
    """
    sides = read_sides(folder)
    declared, arms = read_arms(folder)
    found = compare_sides(sides, arms, declared.experiments)
    return agreement_text(sides, found, declared.experiments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the agreement of a preset; give 1 if it is required and there is nothing to compare."""
    parser = argparse.ArgumentParser(description="Do the runs made here agree with the committed?")
    parser.add_argument("preset", type=Path, help="a folder such as results/laptop")
    parser.add_argument(
        "--required", action="store_true",
        help="end with an error where runs are committed and none was made here",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        print(agreement(options.preset))
    except NothingCommitted as reason:
        print(reason)
    except NothingMadeHere as reason:
        print(reason)
        return int(options.required)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
