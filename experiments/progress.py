"""How far the runs of a preset are: a line a minute, with the time left."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

from experiments.identity import question_id
from experiments.plan import Job
from experiments.run_store import METRICS, Row

EVERY = 60.0  # seconds between two lines


def expected_seconds(jobs: Sequence[Job], finished: Mapping[str, Row]) -> dict[str, float]:
    """Give the seconds that runs are expected to take, by id, from those that are finished.

    What the same run took; else what runs of its experiments took on average, by epochs. A run of
    experiments of which nothing is finished is left out.

    Args:
        jobs: the runs.
        finished: rows of a table by what they ask, with ``seconds``.
    """
    known = {
        job.id: float(row["seconds"])
        for job in jobs
        if (row := finished.get(question_id(job.settings))) and row.get("seconds", 0) > 0
    }
    of_experiment = defaultdict(list)
    for job in jobs:
        if job.id in known:
            for name in job.experiments:
                of_experiment[name].append(known[job.id] / job.settings["epochs"])
    for job in jobs:
        alike = [each for name in job.experiments for each in of_experiment[name]]
        if job.id not in known and alike:
            known[job.id] = mean(alike) * job.settings["epochs"]
    return known


class Progress:
    """Knows which of some runs wait, are under way and have ended; says so every minute.

    Args:
        jobs: the runs.
        runs: the folder of their directories.
        side_by_side: how many are under way at once.
        expected: seconds that runs take, by id, as far as they are known.
    """

    def __init__(
        self, jobs: Sequence[Job], runs: Path, side_by_side: int, expected: Mapping[str, float]
    ) -> None:
        self.runs, self.side_by_side, self.expected = runs, side_by_side, expected
        self._waiting = {job.id: job for job in jobs}
        self._under_way: dict[str, Job] = {}
        self._began: dict[str, float] = {}
        self._took: list[tuple[str, float]] = []
        self._count = len(jobs)

    @contextmanager
    def of(self, job: Job) -> Iterator[None]:
        """Count a run as under way, then as ended."""
        self._waiting.pop(job.id, None)
        self._under_way[job.id], self._began[job.id] = job, time.monotonic()
        try:
            yield
        finally:
            del self._under_way[job.id]
            self._took.append((job.id, time.monotonic() - self._began[job.id]))

    def line(self) -> str:
        """Say how many runs have ended, which are under way at what epoch, and the time left."""
        under_way = [
            f"{job.id} (epoch {self._epoch(job)}/{job.settings['epochs']})"
            for job in list(self._under_way.values())
        ]
        parts = [f"{len(self._took)} of {self._count} runs ended"]
        parts += [f"under way: {', '.join(under_way)}"] if under_way else []
        left = self.seconds_left()
        parts += [f"about {left / 60:.0f} min left"] if left is not None else []
        return "; ".join(parts)

    def seconds_left(self) -> float | None:
        """Estimate the time left, from what such runs took before; not known before any ended."""
        took = {id: seconds for id, seconds in self._took if id in self.expected}
        before = sum(self.expected[id] for id in took)
        pace = sum(took.values()) / before if before else 1.0  # of this machine, beside that before
        usual = mean(seconds for _, seconds in self._took) if self._took else None
        left = 0.0
        for job in [*list(self._waiting.values()), *list(self._under_way.values())]:
            whole = pace * self.expected[job.id] if job.id in self.expected else usual
            if whole is None:
                return None
            done = self._epoch(job) / job.settings["epochs"] if job.id in self._under_way else 0
            left += whole * (1 - done)
        return left / self.side_by_side

    def _epoch(self, job: Job) -> int:
        path = self.runs / job.id / METRICS
        return path.read_bytes().count(b"\n") if path.exists() else 0

    @contextmanager
    def said(self, every: float = EVERY) -> Iterator[None]:
        """Print the line again and again until the end."""
        over = threading.Event()

        def say() -> None:
            while not over.wait(every):
                print(self.line(), flush=True)

        threading.Thread(target=say, daemon=True).start()
        try:
            yield
        finally:
            over.set()
