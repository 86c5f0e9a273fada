"""Write what a search found best for each arm, and where better may lie beyond what it tried."""

from statistics import fmean, median

from scripts.compare.comparison import Comparison, Result
from scripts.read.naming import key_in_words
from scripts.read.tables import CONFIG, config_columns
from scripts.write.markdown import markdown_table, with_interval


def best_table(result: Result) -> str:
    """Write the best of what was tried for each arm in each setting; empty without a search."""
    search, metric = result.experiment.search, result.experiment.metric
    if not search:
        return ""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in result.comparisons:
        if one.final.n:
            groups.setdefault((one.arm.setting, one.arm.label), []).append(one)
    keys = _numbers_tried(result)
    sign = 1 if metric.lower_is_better else -1
    middle = median if search.statistic == "median" else fmean
    rows = []
    for (setting, label), compared in groups.items():
        best = min(compared, key=lambda one: sign * middle(one.values))
        ends = ", ".join(_ends(best, compared, keys))
        cells = [setting, label, str(len(compared)), best.arm.tried, ends]
        rows.append([*cells, with_interval(best.final)])
    header = ["setting", "arm", "tried", "best", "at an end of what was tried"]
    table = markdown_table([*header, f"mean {metric.label}"], rows)
    by = f"by the {search.statistic} over the seeds"
    return f"The best of what was tried for each arm, {by}:\n\n{table}"


def _ends(best: Comparison, compared: list[Comparison], keys: list[str]) -> list[str]:
    """Name the numbers in which the best is the lowest or the highest of those tried."""
    texts = []
    for key in keys:
        tried = {one.arm.config(key) for one in compared} - {None}
        if len(tried) > 1:
            ends = {min(tried): "lowest", max(tried): "highest"}
            if best.arm.config(key) in ends:
                texts.append(f"{ends[best.arm.config(key)]} {key_in_words(key)}")
    return texts


def _numbers_tried(result: Result) -> list[str]:
    """Name the settings that are numbers, or none, and differ within the experiment."""
    values = {name: result.runs[name].dropna().unique() for name in config_columns(result.runs)}
    return [
        name.removeprefix(CONFIG)
        for name, found in values.items()
        if len(found) > 1 and all(isinstance(each, int | float) for each in found)
    ]
