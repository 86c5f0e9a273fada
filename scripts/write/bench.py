"""Write the pages of the benchmarks, and the table of targets."""

import math
from pathlib import Path

import pandas as pd

from scripts.compare.bench_targets import TARGETS, reached
from scripts.figures.bench import has_cost, has_growth
from scripts.read.bench import exponent, of_setting, read_bench, settings, tables, threads_text
from scripts.write.markdown import GAP, markdown_table

TITLES = {
    "mask_cost": "The masks alone",
    "survivors": "Survivors",
    "neighbours": "Neighbours",
    "defaults": "Default settings",
    "auc_loss": "The AUC loss",
    "sampler": "The texture sampler",
    "sweep": "Sweeps",
    "large_image": "An image too large for ordinary training",
}
NOTE = (
    "Medians with quartiles; variants were measured in turn, and relative times are medians of "
    "ratios within rounds."
)


def page(path: Path) -> str:
    """Write the page of one hardware."""
    table = read_bench(path)
    parts = [f"# Benchmarks: {', '.join(dict.fromkeys(table['hardware']))}", NOTE]
    parts += ["## Targets", target_table(table)]
    chapters = table["comparison"].str.split("/").str[0]
    for name, title in TITLES.items():
        rows = table[chapters == name]
        if len(rows):
            parts += [f"## {title}", *_section(rows)]
    if has_cost(table):
        parts += [_figure(path, "cost", "Time and memory of a step against p", table)]
    if has_growth(table):
        parts += [_figure(path, "growth", "Time against size", table)]
    measured = table.assign(comparison=chapters)
    versions = measured[["comparison", "torch", "python", "cores", "commit"]].drop_duplicates()
    cells = [list(row) for row in versions.astype(str).itertuples(index=False)]
    parts += ["## Versions", markdown_table(list(versions), cells)]
    parts += ["Made by `make bench`; this page by `make figures`."]
    return "\n\n".join(parts) + "\n"


def targets_table(results: Path) -> str:
    """Write the targets for each hardware."""
    parts = []
    for path in tables(results):
        table = read_bench(path)
        hardware = ", ".join(dict.fromkeys(table["hardware"]))
        about = f"On {hardware} ([all numbers](../results/bench/{path.stem}.md)):"
        parts.append(f"{about}\n\n{target_table(table)}")
    return "\n\n".join(parts) or "No benchmark has been committed yet: `make bench`."


def target_table(table: pd.DataFrame) -> str:
    """Write what was reached of every target, for each setting, and why where one is not met.

    Those that were not measured are left out.
    """
    columns = settings(table)
    rows, reasons = [], dict[str, dict[str, None]]()
    for target in TARGETS:
        found = [reached(of_setting(table, setting), target) for setting in columns]
        if not all(map(math.isnan, found)):
            cells = [_cell(value, target.bound) for value in found]
            rows.append([target.what, f"{target.bound:g}", *cells])
            if target.why and any(value > target.bound for value in found):
                reasons.setdefault(target.why, {})[target.what.split(":")[0]] = None
    if not rows:
        return "None of the targets was measured."
    header = ["what", "at most", *(threads_text(*setting) for setting in columns)]
    text = markdown_table(header, rows)
    if reasons:
        lines = [f"* {'; '.join(names)}: {why}." for why, names in reasons.items()]
        text += "\n\nWhat is not met, and why:\n\n" + "\n".join(lines)
    return text


def _cell(value: float, bound: float) -> str:
    if math.isnan(value):
        return GAP
    text = f"{value:.2f}"
    if bound < 0.1 or (float(text) > bound) != (value > bound):
        text = f"{value:.3f}"
    return f"{text}, {'met' if value <= bound else '**not met**'}"


def _figure(path: Path, name: str, what: str, table: pd.DataFrame) -> str:
    """Show a figure, which is drawn for the first setting."""
    caption = f"{what}, {threads_text(*settings(table)[0])}."
    return f"![{caption}](figures/{path.stem}_{name}.png)\n\n{caption}"


def _section(rows: pd.DataFrame) -> list[str]:
    """Write the comparisons of a chapter, each with the fitted exponents of its times if any."""
    parts = []
    for name in dict.fromkeys(rows["comparison"]):
        own = rows[rows["comparison"] == name]
        parts += [f"### {name}", comparison_table(own), *_exponents(own)]
    if (rows["comparison"] == "sweep").any():
        rates = rows.dropna(subset=["seconds"])
        parts += [
            ", ".join(
                f"{row.variant}: {3600 / row.seconds:.0f} runs an hour"
                for row in rates.itertuples()
            )
            + "."
        ]
    return parts


def comparison_table(rows: pd.DataFrame) -> str:
    """Write times, relative times and memory, one row for each case and variant."""
    columns = settings(rows)
    lines = []
    for (case, variant), own in rows.groupby(["case", "variant"], sort=False):
        cells = [case, variant]
        for setting in columns:
            found = of_setting(own, setting)
            cells += [_time(found), _relative(found), _memory(found)]
        notes = ", ".join(dict.fromkeys(filter(None, own["note"])))
        lines.append([*cells, notes])
    kinds = ", ".join(dict.fromkeys(filter(None, rows["memory_kind"])))
    header = ["case", "variant"]
    for setting in columns:
        header += [f"time, {threads_text(*setting)}", "of the baseline's", f"memory ({kinds})"]
    return markdown_table([*header, "note"], lines)


def _exponents(rows: pd.DataFrame) -> list[str]:
    rows = of_setting(rows, settings(rows)[0]).dropna(subset=["n", "seconds"])
    texts = []
    for variant, own in rows.groupby("variant", sort=False):
        if len(own) > 2:
            a = exponent(own["n"].tolist(), own["seconds"].tolist())
            texts.append(f"{variant}: n to the power {a:.2f}")
    return [f"Fitted to the largest sizes, time grows as {'; '.join(texts)}."] if texts else []


def _time(rows: pd.DataFrame) -> str:
    if rows["seconds"].isna().all():
        return GAP
    row = rows.iloc[0]
    unit, scale = ("s", 1.0) if row["seconds_high"] >= 1 else ("ms", 1e3)
    low, middle, high = (
        f"{row[key] * scale:.3g}" for key in ("seconds_low", "seconds", "seconds_high")
    )
    return f"{middle} [{low}, {high}] {unit}"


def _relative(rows: pd.DataFrame) -> str:
    if rows["relative"].isna().all():
        return GAP
    row = rows.iloc[0]
    decimals = 3 if row["relative"] < 0.1 else 2
    low, middle, high = (
        f"{row[key]:.{decimals}f}" for key in ("relative_low", "relative", "relative_high")
    )
    return f"{middle} [{low}, {high}]"


def _memory(rows: pd.DataFrame) -> str:
    known = rows.dropna(subset=["memory_bytes"])
    return f"{known['memory_bytes'].iloc[0] / 2**20:.1f} MiB" if len(known) else ""
