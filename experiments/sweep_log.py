"""What the jobs of one sweep, in whatever process they run, say when they end."""

import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

VARIABLE = "BACKDROP_SWEEP"  # holds the log's path in the processes of a sweep
PARENT = "BACKDROP_SWEEP_PROCESS"


class SweepLog:
    """A file of JSON lines: a head with the number of jobs, then a line for each job that ended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, runs: Path, jobs: int | None, kind: str) -> "SweepLog":
        """Start a log under ``runs``/sweeps, named by kind (preset or multirun) and time.

        The number of ``jobs`` may be unknown: a sweeper may stop when it likes.
        """
        folder = runs / "sweeps"
        folder.mkdir(parents=True, exist_ok=True)
        log = cls(folder / f"{kind}-{datetime.now():%Y-%m-%d-%H-%M-%S}-{os.getpid()}.jsonl")
        log._append({"jobs": jobs, "start": time.time()})
        return log

    def add(self, id: str, label: str, text: str, failed: bool = False) -> None:
        """Record the end of a job and print it in a line, with the count and the time left."""
        text = " ".join(text.split())
        self._append({"id": id, "label": label, "text": text, "failed": failed})
        head, *ended = self.lines()
        if head["jobs"] is None:
            print(f"[{len(ended)}] {id} {label}: {text}", flush=True)
            return
        left = (time.time() - head["start"]) / len(ended) * (head["jobs"] - len(ended))
        print(
            f"[{len(ended)}/{head['jobs']}] {id} {label}: {text}; "
            f"about {max(0, left) / 60:.0f} min left",
            flush=True,
        )

    def failures(self) -> list[str]:
        """Give a line for every job that failed."""
        return [f"{e['id']} {e['label']}: {e['text']}" for e in self.lines()[1:] if e["failed"]]

    def lines(self) -> list[dict[str, Any]]:
        """Give the head and the lines of the jobs that ended.

        Raises:
            ValueError: a damaged log, with its path.
        """
        try:
            lines = [json.loads(line) for line in self.path.read_text().splitlines()]
            if not {"jobs", "start"} <= set(lines[0]):
                raise ValueError("it has no head")
            if any({"id", "label", "text", "failed"} - set(line) for line in lines[1:]):
                raise ValueError("it lacks a key")
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"{self.path} is damaged ({error}); delete it") from error
        return lines

    def _append(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def describe(result: dict[str, Any], metric: str) -> str:
    """Say a result in a few words; nothing of the test set, so that nobody tunes by it."""
    found = result["final"]["validation"][metric]
    return f"validation {metric} {found:.3f} in {result['seconds']:.0f} s"


def report_failures(log: SweepLog) -> int:
    """Print the failed jobs, and how many never came to an end; give the exit status."""
    failures = log.failures()
    head, *ended = log.lines()
    if failures:
        print(f"{len(failures)} of {len(ended)} runs failed:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in failures), file=sys.stderr)
    if head["jobs"] == 0:
        print("no run: what is swept over holds no value", file=sys.stderr)
        return 1
    if killed := (head["jobs"] or len(ended)) - len(ended):
        print(
            f"{killed} of {head['jobs']} runs did not end; the same command goes on with them",
            file=sys.stderr,
        )
    return 1 if failures or killed else 0


def expand(overrides: list[str]) -> list[list[str]]:
    """Give the overrides of every job of a sweep, the first key varying slowest.

    As in Hydra, of two overrides of one key the later one counts.

    Raises:
        ValueError: a glob that matches nothing, named by its key.
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
    for each in parsed:
        if each.is_discrete_sweep() and not list(each.sweep_string_iterator()):
            raise ValueError(f"{each.key_or_group}: {each.input_line} matches nothing")
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]


def sweep_parameters(config: DictConfig) -> list[str]:
    """Give what an experiment file sweeps over, as overrides.

    An experiment that is built on another takes a key out of its sweep by setting it to ''.
    """
    params = config.hydra.sweeper.params or {}
    return [f"{key}={value}" for key, value in params.items() if value]


class SweepCallback(Callback):
    """Opens the log of a Hydra multirun before its first job."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Count the jobs and tell their processes where the log is."""
        sweeper = config.hydra.sweeper
        jobs = sweeper.get("n_trials")
        if "basic_sweeper" in sweeper._target_:
            with open_dict(sweeper):
                sweeper.params = {k: v for k, v in (sweeper.params or {}).items() if v}
            try:
                jobs = len(expand([*sweep_parameters(config), *config.hydra.overrides.task]))
            except ValueError as error:  # which Hydra would only warn of, here
                print(error, file=sys.stderr)
                jobs = 0
            except HydraException:  # the sweeper says it itself
                return
        log = SweepLog.create(Path(config.system.runs), jobs, "multirun")
        os.environ |= {VARIABLE: str(log.path), PARENT: str(os.getpid())}

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Say what the jobs said, where they said it elsewhere, and where the log is."""
        log = SweepLog(Path(os.environ[VARIABLE]))
        ended = log.lines()[1:]
        if not ended:
            return
        if "submitit" in config.hydra.launcher._target_:
            for line in ended:
                print(f"{line['id']} {line['label']}: {line['text']}")
        print(f"{len(ended)} runs ended; their list is {log.path}", flush=True)
