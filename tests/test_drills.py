"""Drills: kills, damages and bad overrides at random; nothing is lost, nothing wrong accepted.

`pytest -m slow tests/test_drills.py -n 0` runs them; DRILLS=40,150,150 sets how many of each.
"""

import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from experiments import train as module
from experiments.checksums import Damaged
from experiments.run import run
from experiments.tables import read, write
from tests.conftest import SCORED
from tests.test_run import Interrupted, interrupt_after, numbers, start, store_of

pytestmark = pytest.mark.slow
KILLS, DAMAGES, OVERRIDES = map(int, os.environ.get("DRILLS", "10,60,60").split(","))
SHORT = ("epochs=40", "evaluations=5", "system.checkpoint_seconds=0", "masks=samples")


def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_numbers(scored_settings, tmp_path):
    draw, kills, number = random.Random(0), 0, 0
    expected = numbers(run(scored_settings(*SHORT, f"system.runs={tmp_path / 'whole'}")))
    while kills < KILLS:
        number += 1
        broken = scored_settings(*SHORT, f"system.runs={tmp_path / f'broken{number}'}")
        store = store_of(broken)
        for _ in range(3):
            process = start(broken)
            while process.poll() is None and not (store.path / "config.yaml").exists():
                time.sleep(0.01)
            time.sleep(draw.random() * 1.5)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        assert numbers(run(broken)) == expected
        assert [row["epoch"] for row in store.metrics()] == list(range(1, 41))
        assert not list(store.path.glob("*.tmp"))
    print(f"{kills} kills of {number} runs")


def damaged(path: Path, draw: random.Random) -> str:
    """Damage a file in one of five ways, so that it holds other bytes."""
    content, kind = bytearray(path.read_bytes()), ""
    before = bytes(content)
    while bytes(content) == before:
        kind = draw.choice(("digit", "byte", "cut", "gap", "empty"))
        place = draw.randrange(len(content))
        digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
        if kind == "digit" and digits:
            content[draw.choice(digits)] = draw.choice(b"0123456789")
        elif kind == "byte":
            content[place] = draw.randrange(256)
        elif kind == "cut":
            del content[place:]
        elif kind == "gap":
            del content[place : place + draw.randrange(1, 40)]
        elif kind == "empty":
            content.clear()
    path.write_bytes(content)
    return kind


def test_damage_is_refused_with_the_file_or_the_run_starts_again(scored_settings, tmp_path, capsys):
    draw, outcomes = random.Random(1), Counter()
    quick = ("epochs=4", "evaluations=2", "system.checkpoint_seconds=0")
    whole = scored_settings(*quick, f"system.runs={tmp_path / 'whole'}")
    expected = numbers(run(whole))
    unfinished = scored_settings(*quick, f"system.runs={tmp_path / 'unfinished'}")
    with pytest.raises(Interrupted):
        run(unfinished, interrupt_after(2))
    tables = tmp_path / "tables"
    write(read(Path("results/laptop/runs.csv")).head(20), tables / "runs.csv")
    finished = ("result.json", "metrics.jsonl", "config.yaml", "provenance.json", "SHA256SUMS")
    places = [(whole, name) for name in finished]
    places += [(unfinished, name) for name in ("checkpoint.pt", "metrics.jsonl", "config.yaml")]
    for _ in range(DAMAGES):
        settings, name = draw.choice([*places, (None, "runs.csv"), (None, "SHA256SUMS")])
        if settings is None:
            copy = tmp_path / "copy"
            shutil.copytree(tables, copy)
            damaged(copy / name, draw)
            with pytest.raises(Damaged, match=r"runs\.csv is damaged"):
                read(copy / "runs.csv")
            outcomes["table refused"] += 1
        else:
            origin, copy = store_of(settings).path, tmp_path / "copy" / store_of(settings).id
            shutil.copytree(origin, copy)
            damaged(copy / name, draw)
            again = {**settings, "system": {**settings["system"], "runs": str(copy.parent)}}
            store = store_of(again)
            if settings is whole:
                with pytest.raises(Damaged, match=r"is damaged .* delete its folder"):
                    [store.result(), store.metrics(), store.settings(), store.provenance()]
                outcomes["run refused"] += 1
            else:
                capsys.readouterr()
                assert numbers(run(again)) == expected
                assert len(store.metrics()) == 4
                said = capsys.readouterr().err
                outcomes["started again" if "starts again" in said else "went on"] += 1
        shutil.rmtree(tmp_path / "copy")
    with capsys.disabled():
        print(f"{DAMAGES} damages: {dict(outcomes)}")


KEYS = (
    *("dataset.train", "dataset.validation", "dataset.test", "dataset.positive_fraction"),
    *("dataset.seed", "dataset.name", "dataset._target_", "model.inputs", "model.widths"),
    *("model.classes", "model._target_", "optimizer.lr", "optimizer.weight_decay"),
    *("optimizer.betas", "optimizer._target_", "masks.samples.p", "masks.samples.dims"),
    *("masks.samples.after", "masks.samples._target_", "loss.surrogate", "loss.temperature"),
    *("loss._target_", "epochs", "batch_size", "evaluations", "warmup", "seed", "metric"),
    *("batching", "precision", "device", "backward", "budget.updates", "system.threads"),
)
VALUES = (
    *("-1", "2.5", "nan", "inf", "many", "[]", "[7]", "[0.9]", "{a:1}", "null", "true", "''"),
    *("os.system", "builtins.eval", "torch.load", "torch.hub.load", "nowhere.Nothing", "1e400"),
)
NEW = ("lr", "scheduler", "epocs", "system.nope", "masks.x", "model.depth", "optimizer.rate")
NEW = (*NEW, "report.nope", "measures.x", "augmentation.x", "regulariser.p", "schedule.gamma")


def bad_override(draw: random.Random) -> str:
    """Draw an override of a known key by a strange value, of a new key, or a deletion."""
    kind = draw.random()
    if kind < 0.75:
        return f"{draw.choice(('', '++'))}{draw.choice(KEYS)}={draw.choice(VALUES)}"
    if kind < 0.9:
        return f"{draw.choice(('+', '++', ''))}{draw.choice(NEW)}={draw.choice(VALUES)}"
    if kind < 0.95:
        return f"~{draw.choice(KEYS)}"
    return f"{draw.choice(('masks', 'loss', 'model', 'optimizer', 'experiment'))}=nowhere"


def test_bad_overrides_end_with_one_line_that_begins_with_the_key(tmp_path, monkeypatch, capfd):
    draw, outcomes, wrong, lines = random.Random(2), Counter(), [], []
    tiny = [*SCORED, "masks=samples", "epochs=1", "budget.updates=1", "arm=null"]
    folders = [f"system.data={tmp_path / 'data'}", "system.threads=1"]
    for number in range(OVERRIDES):
        override = bad_override(draw)
        runs = tmp_path / f"runs{number}"
        words = [*tiny, *folders, f"system.runs={runs}", override]
        monkeypatch.setattr(sys, "argv", ["train", *words])
        capfd.readouterr()
        try:
            status = module.command_line()
        except SystemExit as end:
            status = 1
            print(end, file=sys.stderr)
        said = capfd.readouterr().err.strip()
        key = override.partition("=")[0].lstrip("+~")
        if status == 0:
            outcomes["ran"] += 1
            outcomes[f"ran: {override}"] += 1
            continue
        outcomes["refused"] += 1
        lines.append(f"{override}: {said}")
        names = [".".join(key.split(".")[: n + 1]) for n in range(key.count(".") + 1)]
        line = re.match(r"\S+", said)
        begins = any(said.startswith(name) for name in (*names, *_related(key)))
        trained = list(runs.rglob("metrics.jsonl")) and any(
            path.stat().st_size for path in runs.rglob("metrics.jsonl")
        )
        if "\n" in said or not line or not begins or "Traceback" in said or trained:
            wrong.append((override, said[:300], bool(trained)))
    (tmp_path / "refusals.txt").write_text("\n".join(lines))
    with capfd.disabled():
        print(f"{OVERRIDES} overrides: {dict(outcomes)}")
        print(*wrong, sep="\n")
    assert not wrong


def _related(key: str) -> tuple[str, ...]:
    """Give other keys that a refusal may rightly begin with: what does not go with the key."""
    together = {"metric": ("model",), "model": ("metric", "loss"), "dataset": ("batch_size",)}
    return together.get(key.partition(".")[0], ())
