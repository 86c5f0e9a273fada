"""Run comparisons and write them into results/bench/.

    python -m experiments.bench                      # all of them
    python -m experiments.bench survivors auc_loss   # these

Every comparison is written as soon as it is finished; one that fails leaves a row that says so.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.bench.comparisons import COMPARISONS, run_apart, settings
from experiments.bench.table import path_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparisons that are named, or all; give the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="comparison", help=", ".join(COMPARISONS))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--smoke", action="store_true", help="tiny: shows that everything runs")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(COMPARISONS):
        parser.error(f"unknown comparison {min(unknown)!r}; there are {', '.join(COMPARISONS)}")
    failed = False
    for name in options.names or COMPARISONS:
        for setting in settings(name, options.smoke):
            path = path_of(options.results / "bench", setting.device)
            begin = time.monotonic()
            failure = run_apart(name, setting, path)
            failed |= bool(failure)
            where = f"{name}, {setting.device}, threads {setting.threads}"
            print(f"{where}: {failure or 'done'} in {time.monotonic() - begin:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
