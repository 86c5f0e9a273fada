"""What the comparisons say to a claim: the closest to its primary one, and all of them pooled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.compare.comparison import Comparison, Result
from scripts.compare.pooled import Pooled, pool
from scripts.read.declared import Claim


@dataclass(frozen=True)
class Group:
    """The comparisons of a claim with one kind of rival, and their pooled gain if there is one."""

    against: str
    comparisons: tuple[Comparison, ...]
    pooled: Pooled | None

    @property
    def others(self) -> list[str]:
        """Name the arms that stand on the other side."""
        return list(dict.fromkeys(one.other_label for one in self.comparisons))


@dataclass(frozen=True)
class Evidence:
    """What the finished runs say to a claim.

    ``primary`` is the declared comparison, or the one that stands in for it as long as that has not
    been run, None if it has no pairs; ``groups`` are all comparisons, by what they are made with.
    """

    claim: Claim
    primary: Comparison | None
    groups: tuple[Group, ...]

    @property
    def is_decided_by_its_primary(self) -> bool:
        """Tell whether ``primary`` is the declared comparison: it alone has looks."""
        return self.primary is not None and self.primary.decision is not None

    def role(self, one: Comparison) -> str:
        """Say what a comparison is to the claim; nothing if it is one of many."""
        if one is not self.primary:
            return ""
        return "primary" if self.is_decided_by_its_primary else "closest"

    @property
    def comparisons(self) -> list[Comparison]:
        """Give all comparisons, by group."""
        return [one for group in self.groups for one in group.comparisons]

    @property
    def primary_group(self) -> Group | None:
        """Give the comparisons with the same kind of rival as the primary one."""
        rival = self.claim.stands_in.rival
        return next((group for group in self.groups if group.against == rival), None)


def evidence(claim: Claim, results: Iterable[Result]) -> Evidence:
    """Gather what the results of a claim's chapter say to it, each comparison once."""
    tested = distinct(one for result in results for one in result.tested)
    names = dict.fromkeys(one.against for one in tested)
    groups = [_group(name, [one for one in tested if one.against == name]) for name in names]
    primary = next((one for one in tested if _stands_in(one, claim)), None)
    return Evidence(claim, primary, tuple(groups))


def distinct(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Leave out comparisons whose runs, on both sides, are all among those of another one."""
    kept: dict[tuple[frozenset[str], frozenset[str]], Comparison] = {}
    for one in comparisons:
        kept.setdefault(one.runs_compared, one)
    return [one for runs, one in kept.items() if not any(_within(runs, other) for other in kept)]


def _within(runs: tuple[frozenset[str], ...], other: tuple[frozenset[str], ...]) -> bool:
    return runs != other and all(few <= many for few, many in zip(runs, other, strict=True))


def _group(against: str, comparisons: Sequence[Comparison]) -> Group:
    return Group(against, tuple(comparisons), pool([one.gains for one in comparisons]))


def _stands_in(one: Comparison, claim: Claim) -> bool:
    wanted = claim.stands_in
    return (
        one.experiment.name == wanted.experiment
        and one.arm.setting == (wanted.setting or one.arm.setting)
        and one.against == wanted.rival
    )
