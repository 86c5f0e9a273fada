"""Write whether the runs made here agree with the committed ones."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from scripts.compare.agreement import ArmAgreement
from scripts.compare.comparison import DECIMALS
from scripts.compare.intervals import LEVEL, Interval
from scripts.compare.sides import Sides
from scripts.read.declared import Experiment
from scripts.write.markdown import signed


def agreement_text(
    sides: Sides,
    found: Mapping[str, Sequence[ArmAgreement]],
    experiments: Mapping[str, Experiment],
) -> str:
    """Write, for every experiment and arm, whether the runs made here agree."""
    blocks = []
    for name, arms in found.items():
        experiment = experiments[name]
        title = "; ".join(filter(None, [experiment.metric.label, experiment.task]))
        lines = [f"  {_in_words(arm)}" for arm in arms]
        blocks.append("\n".join([f"{name} ({title})", *lines]))
    counted = [arm.agrees for arms in found.values() for arm in arms]
    return "\n\n".join([*blocks, _made(sides), _conclusion(counted, sides)])


def _in_words(arm: ArmAgreement) -> str:
    parts = _compared(arm)
    if arm.new.n:
        parts.append(f"new {_value(arm.new)}, not in the committed table")
    return f"{arm.name}: {'; '.join(parts)}"


def _compared(arm: ArmAgreement) -> list[str]:
    if arm.committed.n == 0:
        return [f"here {_value(arm.here)}, nothing committed"] if arm.here.n else []
    if arm.here.n == 0:
        return ["not run now", f"committed {_value(arm.committed)}"]
    values = f"committed {_value(arm.committed)}, here {_value(arm.here)}"
    result = {True: "agrees", False: "DIFFERS", None: "too few runs to tell"}[arm.agrees]
    return [f"{values}: {result}{_difference(arm)}", _digits(arm)]


def _value(interval: Interval) -> str:
    seeds = f"{interval.n} seed{'s' * (interval.n != 1)}"
    return f"{interval.mean:.{DECIMALS}f} ({seeds})"


def _difference(arm: ArmAgreement) -> str:
    if not arm.difference.defined:
        return ""
    numbers = (arm.difference.mean, arm.difference.low, arm.difference.high)
    mean, low, high = (signed(value, DECIMALS) for value in numbers)
    seeds = f" on {arm.difference.n} seeds" if arm.difference.n < arm.committed.n else ""
    return f" (difference{seeds} {mean}, {LEVEL * 100:g} % interval {low} to {high})"


def _digits(arm: ArmAgreement) -> str:
    if not arm.shared:
        return "no run has the same configuration and seed on both sides"
    return f"{arm.same} of {arm.shared} runs equal in every digit"


def _made(sides: Sides) -> str:
    """Say how many runs were made here, on what, and how many of them are new."""
    text = (
        f"{len(sides.here)} of {sides.planned} runs of the preset `{sides.preset}` were made "
        f"here, on {_hardware(sides.here)}."
    )
    if new := len(sides.new):
        text += f" {new} of them {'is' if new == 1 else 'are'} new: not in the committed table."
    return text


def _conclusion(agree: Iterable[bool | None], sides: Sides) -> str:
    if sides.committed.empty:
        return "Nothing was compared: no run made here is in the committed table."
    known = [one for one in agree if one is not None]
    text = f"{sum(known)} of {len(known)} arms agree."
    if not known:
        text = "No arm has enough runs on both sides to tell."
    elif not all(known):
        text += (
            f" With {LEVEL * 100:g} % intervals, about {len(known) * (1 - LEVEL):.1f} of "
            f"{len(known)} would differ by chance alone."
        )
    return f"{text}\n\n{_machines(sides)}"


def _machines(sides: Sides) -> str:
    committed = _hardware(sides.committed)
    if committed == _hardware(sides.here):
        return "The committed ones were made on the same."
    return (
        f"The committed ones were made on {committed}. "
        "Equal digits are only to be expected on equal hardware and versions."
    )


def _hardware(runs: pd.DataFrame) -> str:
    return "; ".join(sorted(set(runs["hardware"])))
