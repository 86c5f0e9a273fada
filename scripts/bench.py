"""Write tables and figures of the committed benchmarks, and the table of targets.

    python -m scripts.bench --results results

It reads results/bench/<hardware>.csv and writes <hardware>.md beside it and figures/, and the
targets into docs/performance.md.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from scripts.figures import style
from scripts.figures.bench import draw_cost, draw_growth, has_cost, has_growth
from scripts.read.bench import of_setting, read_bench, settings, tables
from scripts.write.bench import page, targets_table
from scripts.write.markdown import with_marked

MARKER = "bench"


def write(results: Path) -> None:
    """Write pages and figures of all hardware."""
    for path in tables(results):
        table = read_bench(path)
        least = of_setting(table, settings(table)[0])
        folder = path.parent / "figures"
        if has_cost(least):
            style.save(partial(draw_cost, least), folder, f"{path.stem}_cost")
        if has_growth(least):
            style.save(partial(draw_growth, least), folder, f"{path.stem}_growth")
        path.with_suffix(".md").write_text(page(path), encoding="utf-8")
        print(f"wrote {path.with_suffix('.md')}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write everything, and the table of targets into its page where there is a place for it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--page", type=Path, default=Path("docs/performance.md"))
    options = parser.parse_args(arguments)
    write(options.results)
    text = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    if f"<!-- {MARKER}:begin -->" in text:
        table = targets_table(options.results)
        options.page.write_text(with_marked(text, table, MARKER), encoding="utf-8")


if __name__ == "__main__":
    main()
