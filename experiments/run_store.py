"""The directory of one run: what it holds, in what order it appears, who may write to it.

config.yaml       the resolved configuration
provenance.json   hardware, versions, commit
metrics.jsonl     one line an epoch
checkpoint.pt     model and optimizer after some epoch; gone when the run is finished
failure.txt       the traceback, if the run failed
outputs.npz       outputs and targets of the test set's items, after the last epoch
result.json       final numbers; appears last, so its presence means that the run is finished
"""

import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from omegaconf import OmegaConf

Row = dict[str, Any]


class RunStore:
    """Reads and writes the directory of the run ``id`` under ``root``."""

    def __init__(self, root: Path, id: str) -> None:
        self.path = root / id

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; wait while another holds it.

        The lock belongs to an open file, so the system frees it when its holder dies.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "lock"):
            yield

    def start(self, settings: Row, provenance: Row) -> None:
        """Write what is known before the first step, and forget an earlier failure.

        Where a run goes on from a checkpoint made elsewhere, what differed there is kept as
        ``resumed_from``.
        """
        before = self.provenance() if (self.path / "checkpoint.pt").exists() else None
        other = {k: v for k, v in (before or {}).items() if provenance.get(k) != v}
        if other:
            provenance = {**provenance, "resumed_from": other}
        write_atomically(self.path / "config.yaml", OmegaConf.to_yaml(settings).encode())
        write_atomically(self.path / "provenance.json", _json(provenance))
        (self.path / "failure.txt").unlink(missing_ok=True)

    def append(self, row: Row) -> None:
        """Add the line of one epoch to the metrics."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def metrics(self) -> list[Row]:
        """Give the complete lines of the metrics; a line cut short by a crash is left out.

        Raises:
            ValueError: a damaged line, with the file.
        """
        path = self.path / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [_parsed(line, path) for line in lines]

    def save_checkpoint(self, state: Row) -> None:
        """Replace the checkpoint."""
        buffer = BytesIO()
        torch.save(state, buffer)
        write_atomically(self.path / "checkpoint.pt", buffer.getvalue())

    def resume(self, device: str) -> Row | None:
        """Give the last checkpoint, if any, and cut the metrics back to its epoch.

        A checkpoint that is damaged, or whose metrics are not all there, is not used.
        """
        path = self.path / "checkpoint.pt"
        state = _load(path, device) if path.exists() else None
        try:
            kept = [row for row in self.metrics() if state and row["epoch"] <= state["epoch"]]
        except ValueError:
            kept = []
        if state and [row["epoch"] for row in kept] != list(range(1, state["epoch"] + 1)):
            state, kept = None, []
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self.path / "metrics.jsonl", lines.encode())
        return state

    def keep_outputs(self, outputs: NDArray[Any], targets: NDArray[Any]) -> None:
        """Write what the trained model gives for each item of the test set, and its target."""
        buffer = BytesIO()
        np.savez_compressed(buffer, outputs=outputs, targets=targets)
        write_atomically(self.path / "outputs.npz", buffer.getvalue())

    def outputs(self) -> dict[str, NDArray[Any]] | None:
        """Give what :meth:`keep_outputs` wrote, by name, if it did."""
        path = self.path / "outputs.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as found:
            return dict(found)

    def finish(self, result: Row) -> None:
        """Write the result, then drop the checkpoint."""
        write_atomically(self.path / "result.json", _json(result))
        (self.path / "checkpoint.pt").unlink(missing_ok=True)

    def fail(self, traceback: str) -> None:
        """Mark the run as failed; its last line names the error."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "failure.txt", traceback.encode())

    def result(self) -> Row | None:
        """Give the result of a finished run, else None."""
        return self._read("result.json")

    def provenance(self) -> Row | None:
        """Give the provenance of a run that was started, else None."""
        return self._read("provenance.json")

    def failure(self) -> str | None:
        """Give the last line of a failed run's traceback, else None."""
        path = self.path / "failure.txt"
        return path.read_text().strip().splitlines()[-1] if path.exists() else None

    def _read(self, name: str) -> Row | None:
        path = self.path / name
        return _parsed(path.read_text(), path) if path.exists() else None


def _load(path: Path, device: str) -> Row | None:
    try:
        state: Row = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, ValueError):
        return None
    return state


def _parsed(text: str, path: Path) -> Row:
    try:
        row: Row = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete its folder to compute the run again"
        ) from error
    return row


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is seen whole or not at all, also after a crash."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _json(value: Row) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
