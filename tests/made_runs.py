"""Made-up presets, for tests only: runs with their arms, and what their experiments declare."""

import json
from pathlib import Path

import pandas as pd

from scripts.read.preset import read_preset

TINY = Path(__file__).parent / "fixtures" / "results_tiny"
CHAPTERS = json.loads((TINY / "experiments.json").read_text())["chapters"]
BLOCK = {
    "title": "Made",
    "question": "What is it?",
    "task": "made-up task",
    "baseline": "no masks",
    "rivals": {},
    "claim": [],
    "smallest_effect": 0.05,
    "figures": [],
    "kinds": ["no masks", "masks"],
    "metric": "test.error",
    "search": None,
}


def run(arm, seed, value, kind="", setting="", tried="", chosen="", status="finished", **more):
    """Give a run: its place, and its row with everything else by column."""
    kind = kind or ("no masks" if arm == "no masks" else "masks")
    place = {"arm": arm, "kind": kind, "setting": setting, "tried": tried, "chosen": chosen}
    config = {key: cell for key, cell in more.items() if "." in key}
    id = "-".join(map(str, (arm, setting, tried, seed))).replace(" ", "_")
    row = {"id": more.get("id", id), "status": status, "error": more.get("error", "")}
    row |= {"config.seed": json.dumps(seed), "seconds": "2.0"}
    row |= {f"config.{key}": json.dumps(cell) for key, cell in config.items()}
    if status == "finished":
        names = ("final.test.error", "selected.test.error", "train.error", "final.validation.error")
        row |= dict.fromkeys(names, repr(value))
    return place, row | more.get("columns", {})


def write_preset(folder, experiments, left_over=()):
    """Write experiments: by name a block and its runs, and rows that stand in none."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, arms, blocks = {}, [], {}
    for name, (block, runs) in experiments.items():
        blocks[name] = BLOCK | block
        for place, row in runs:
            rows[row["id"]] = row
            arms.append({"experiment": name, "id": row["id"], **place})
    rows |= {row["id"]: row for _, row in left_over}
    table = pd.DataFrame(list(rows.values())).fillna("")
    table.to_csv(folder / "runs.csv", index=False)
    epochs = [
        {"id": id, "epoch": epoch, "test.error": error, "train.error": error}
        for id, row in rows.items()
        for epoch in (1, 2)
        if (error := row.get("final.test.error"))
    ]
    pd.DataFrame(epochs, columns=["id", "epoch", "test.error", "train.error"]).to_csv(
        folder / "curves.csv", index=False
    )
    pd.DataFrame(arms).to_csv(folder / "arms.csv", index=False)
    declared = {"chapters": CHAPTERS, "experiments": blocks}
    (folder / "experiments.json").write_text(json.dumps(declared))
    return folder


def made(folder, experiments, left_over=()):
    """Write and read a preset."""
    return read_preset(write_preset(folder, experiments, left_over))
