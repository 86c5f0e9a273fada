"""Made-up runs with an AUC loss, on natural images and on survivors alone, for tests only."""

import json
from pathlib import Path

import pandas as pd

TINY = Path(__file__).parent / "fixtures" / "results_tiny"
ROWS, PS = 800, (0.5, 0.9)

SCORES = {
    "dataset._target_": "backdrop.datasets.tabular.TabularBinary",
    "dataset.train": ROWS,
    "dataset.positive_fraction": 0.01,
    "model._target_": "backdrop.models.MLP",
    "optimizer._target_": "torch.optim.Adam",
    "loss._target_": "backdrop.losses.AUCLoss",
    "loss.surrogate": "sigmoid",
    "batch_size": None,
    "metric": "auc",
}
MEGABYTES = {"dense": "2000.0", "survivors": "1400.0"}
IMAGES = {
    "dataset._target_": "backdrop.datasets.cifar10.Cifar10Dataset",
    "dataset.train": 1000,
    "dataset.validation": 2000,
    "model._target_": "backdrop.models.AllConvNet",
    "model.width": 0.25,
    "optimizer._target_": "torch.optim.Adam",
}


def mask(name, p):
    return {f"masks.{name}._target_": "backdrop.Backdrop", f"masks.{name}.p": p}


def minibatch(p, lr=0.003):
    return {"batch_size": round(ROWS * (1 - p)), "optimizer.lr": lr}


def arms(p):
    """Give the settings and made-up AUC of the arms at one probability, best last."""
    entropy = {"loss._target_": "torch.nn.BCEWithLogitsLoss", "loss.surrogate": None}
    return [
        (minibatch(p), 0.80, 7),
        (minibatch(p) | {"batching": "stratified"}, 0.90, 0),
        ({"optimizer.lr": 0.03}, 0.85, 0),
        (mask("samples", p) | {"optimizer.lr": 0.01}, 0.95 - p / 20, 0),
        (minibatch(p) | entropy, 0.7, None),
    ]


def auc_runs():
    for budget, p, seed in ((b, p, s) for b in ("updates", "passes") for p in PS for s in range(3)):
        for arm, auc, skipped in arms(p):
            config = SCORES | {f"budget.{budget}": 4} | arm
            names = [f"auc/digits_p_{budget}"] + ([f"auc/digits_{budget}"] if p == 0.5 else [])
            if "BCE" in config["loss._target_"]:
                names = names[:1]
            yield names, config, seed, {"auc": auc + 0.01 * seed + 0.0001 * len(str(arm))}, skipped
        for lr in (0.001, 0.01):
            for arm, auc, skipped in arms(p):
                config = SCORES | {f"budget.{budget}": 4} | arm | {"optimizer.lr": lr}
                value = {"auc": auc - (lr if "masks" in str(arm) else -lr)}
                yield [f"auc/tuning_digits_{budget}"], config, 100 + seed, value, skipped


def image_runs():
    for seed in range(3):
        for masks, error in (({}, 0.5), (mask("fine", 0.5), 0.48)):
            for images in (1000, 5000):
                names = ["cifar/images"] + (["cifar/laptop"] if images == 1000 else [])
                config = IMAGES | masks | {"dataset.train": images}
                yield names, config, seed, {"error": error - images / 1e5 + 0.01 * seed}, None


def survivor_runs():
    """Give the whitened net's arms, whose errors differ by rounding, and the batch-norm net's."""
    arms = (("Texture", "dense", 0.3), ("WhitenedTexture", "dense", 0.2))
    for seed in range(3):
        for net, backward, error in (*arms, ("WhitenedTexture", "survivors", 0.2 + 0.001 * seed)):
            config = {"model._target_": f"backdrop.models.{net}Net", "backward": backward}
            config |= mask("fine", 0.95) | mask("coarse", 0.9)
            yield ["textures/whitened_survivors"], config, seed, {"error": error}, None


def write_preset(folder):
    """Write a preset with newer arms and the older textures, which lack the newer keys."""
    folder.mkdir(parents=True)
    runs, curves = {}, []
    for names, config, seed, values, skipped in [*auc_runs(), *image_runs(), *survivor_runs()]:
        config = {"seed": seed, "dataset.seed": seed, "device": "cpu", **config}
        key = json.dumps(config, sort_keys=True)
        row = runs.setdefault(key, {"id": f"r{len(runs)}", "experiments": "", "status": "finished"})
        every = dict.fromkeys(filter(None, [*row["experiments"].split(";"), *names]))
        row |= {"experiments": ";".join(every), "error": "", "seconds": "2.0"}
        row |= {"peak_megabytes": MEGABYTES.get(config.get("backward"), "")}
        row |= {f"config.{name}": json.dumps(value) for name, value in config.items()}
        row |= {"skipped": "" if skipped is None else str(skipped + seed * (skipped > 0))}
        for name, value in values.items():
            row |= {f"{part}.{name}": repr(value) for part in ("final.test", "final.validation")}
            row |= {f"train.{name}": "0.9"}
            for epoch in (1, 2):
                point = {f"{part}.{name}": value for part in ("train", "validation", "test")}
                curves.append({"id": row["id"], "epoch": epoch, **point})
    old = pd.read_csv(TINY / "runs.csv", dtype=str, keep_default_na=False)
    table = pd.concat([pd.DataFrame(runs.values()), old]).fillna("")
    table.to_csv(folder / "runs.csv", index=False)
    pd.concat([pd.DataFrame(curves), pd.read_csv(TINY / "curves.csv")]).to_csv(
        folder / "curves.csv", index=False
    )
