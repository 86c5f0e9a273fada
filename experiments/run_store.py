"""The directory of one run: what it holds, in what order it appears, who may write to it.

config.yaml       the resolved configuration
provenance.json   hardware, versions, commit
metrics.jsonl     one line an epoch
checkpoint.pt     model and optimizer after some epoch, with sums of itself and of the metrics up to
                  it; gone when the run is finished
failure.txt       the traceback, if the run failed
outputs.npz       outputs and targets of the test set's items, after the last epoch
SHA256SUMS        of the files of a finished run, checked whenever one is read
result.json       final numbers; appears last, so its presence means that the run is finished
"""

import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from omegaconf import OmegaConf

from experiments.checksums import (
    NAME,
    digest,
    read_checked,
    sealed,
    sums_of,
    unsealed,
    with_path,
    write_atomically,
    write_sums,
)
from experiments.checksums import Damaged as Damaged

Row = dict[str, Any]
RESULT, METRICS, CHECKPOINT = "result.json", "metrics.jsonl", "checkpoint.pt"
OUTPUTS, LOCK = "outputs.npz", "lock"


class RunStore:
    """Reads and writes the directory of the run ``id`` under ``root``."""

    def __init__(self, root: Path, id: str) -> None:
        self.path, self.id = root / id, id
        self._provenance: Row = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; wait while another holds it.

        The lock belongs to an open file, so the system frees it when its holder dies. What a dead
        holder was writing is removed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / LOCK):
            for left in self.path.glob("*.tmp"):
                left.unlink(missing_ok=True)
            yield

    def is_held(self) -> bool:
        """Tell whether a process holds the run."""
        lock = self.path / LOCK
        if not lock.exists():
            return False
        try:
            with FileLock(lock, timeout=0):
                return False
        except Timeout:
            return True

    def start(self, settings: Row, provenance: Row) -> None:
        """Write what is known before the first step, and forget an earlier failure."""
        (self.path / NAME).unlink(missing_ok=True)  # of a run that died while it was finished
        write_atomically(self.path / "config.yaml", OmegaConf.to_yaml(settings).encode())
        self._say_provenance(provenance)
        (self.path / "failure.txt").unlink(missing_ok=True)

    def append(self, row: Row) -> None:
        """Add the line of one epoch to the metrics."""
        path = self.path / METRICS
        try:
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise with_path(error, path) from error

    def metrics(self) -> list[Row]:
        """Give the complete lines of the metrics; a line cut short by a crash is left out.

        Raises:
            ValueError: a damaged line or, of a finished run, file; with its path.
        """
        path = self.path / METRICS
        return [self._parsed(line, path) for line in self._lines()]

    def save_checkpoint(self, state: Row) -> None:
        """Replace the checkpoint."""
        known = {
            "run": self.id,
            "metrics": _sum(self._lines()[: state["epoch"]]),
            "provenance": self._provenance,
        }
        buffer = BytesIO()
        torch.save({**state, **known}, buffer)
        write_atomically(self.path / CHECKPOINT, sealed(buffer.getvalue()))

    def resume(self, device: str) -> Row | None:
        """Give the last checkpoint, if any, and cut the metrics back to its epoch.

        A checkpoint that is damaged, or whose metrics are not those it was made with, is not used,
        and this is said. Where it was made elsewhere, what differed there is kept in the run's
        provenance as ``resumed_from``.
        """
        path = self.path / CHECKPOINT
        state = self._load(path, device) if path.exists() else None
        if path.exists() and state is None:
            print(
                f"{path}: it or the metrics beside it are damaged; the run starts again",
                file=sys.stderr,
            )
        kept = self._lines()[: state["epoch"]] if state else []
        write_atomically(self.path / METRICS, b"".join(line + b"\n" for line in kept))
        before = state.pop("provenance") if state else {}
        other = {k: v for k, v in before.items() if self._provenance.get(k) != v}
        if other:
            self._say_provenance({**self._provenance, "resumed_from": other})
        return state

    def keep_outputs(self, outputs: NDArray[Any], targets: NDArray[Any]) -> None:
        """Write what the trained model gives for each item of the test set, and its target."""
        buffer = BytesIO()
        np.savez_compressed(buffer, outputs=outputs, targets=targets)
        write_atomically(self.path / OUTPUTS, buffer.getvalue())

    def outputs(self) -> dict[str, NDArray[Any]] | None:
        """Give what :meth:`keep_outputs` wrote, by name, if it did.

        Raises:
            ValueError: of a finished run, a damaged file, with its path.
        """
        path = self.path / OUTPUTS
        if not path.exists():
            return None
        return dict(np.load(BytesIO(self._checked(path)), allow_pickle=False))

    def finish(self, result: Row) -> None:
        """Write the sums of all files, the result last of these, then drop the checkpoint."""
        content = _json({"run": self.id, **result})
        sums = sums_of(self.path) | {RESULT: (digest(content),)}
        write_sums(self.path, sums)
        write_atomically(self.path / RESULT, content)
        (self.path / CHECKPOINT).unlink(missing_ok=True)

    def fail(self, traceback: str) -> None:
        """Mark the run as failed; its last line names the error."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "failure.txt", traceback.encode())

    def result(self) -> Row | None:
        """Give the result of a finished run, else None.

        Raises:
            ValueError: a damaged result, or that of another configuration, with the file.
        """
        result = self._read(RESULT)
        if result and result.pop("run", self.id) != self.id:
            raise Damaged(f"{self.path / RESULT} is damaged (of another run); {self._way_out}")
        return result

    def settings(self) -> Row | None:
        """Give the configuration of a run that was started, else None.

        Raises:
            ValueError: of a finished run, a damaged file, with its path.
        """
        path = self.path / "config.yaml"
        if not path.exists():
            return None
        try:
            found = OmegaConf.to_container(OmegaConf.create(self._checked(path).decode()))
        except Damaged:
            raise
        except Exception as error:  # YAML has many
            raise Damaged(f"{path} is damaged; {self._way_out}") from error
        return dict(found)  # type: ignore[arg-type]

    def provenance(self) -> Row | None:
        """Give the provenance of a run that was started, else None."""
        return self._read("provenance.json")

    def failure(self) -> str | None:
        """Give the last line of a failed run's traceback, else None."""
        path = self.path / "failure.txt"
        if not path.exists():
            return None
        return (path.read_text(errors="replace").strip().splitlines() or ["unknown"])[-1]

    @property
    def _way_out(self) -> str:
        return f"delete its folder to compute the run again: {self.path}"

    def _say_provenance(self, provenance: Row) -> None:
        self._provenance = provenance
        write_atomically(self.path / "provenance.json", _json(provenance))

    def _lines(self) -> list[bytes]:
        path = self.path / METRICS
        return self._checked(path).split(b"\n")[:-1]

    def _checked(self, path: Path) -> bytes:
        """Read a file, that of a finished run against its sum, if it was made with one."""
        if (self.path / RESULT).exists():
            return read_checked(path, self._way_out) or b""
        return path.read_bytes() if path.exists() else b""

    def _read(self, name: str) -> Row | None:
        path = self.path / name
        return self._parsed(self._checked(path), path) if path.exists() else None

    def _load(self, path: Path, device: str) -> Row | None:
        content = unsealed(path.read_bytes())
        if content is None:
            return None
        try:
            state: Row = torch.load(BytesIO(content), map_location=device, weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, ValueError):
            return None
        lines = self._lines()[: state["epoch"]]
        ours = (state.pop("run"), state.pop("metrics")) == (self.id, _sum(lines))
        return state if ours and len(lines) == state["epoch"] else None

    def _parsed(self, text: bytes, path: Path) -> Row:
        try:
            row: Row = json.loads(text.decode())
        except ValueError as error:
            raise Damaged(f"{path} is damaged ({error}); {self._way_out}") from error
        return row


def _sum(lines: list[bytes]) -> str:
    return digest(b"\n".join(lines))


def _json(value: Row) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
