"""What must not move: the runs that experiments plan, and the numbers of a short run of each kind.

`GOLDEN=write pytest tests/test_golden.py -n 0` writes tests/golden/ anew; a commit that changes it
says why.
"""

import hashlib
import json
import os
from pathlib import Path

import pytest

from experiments.identity import question_id
from experiments.plan import plan
from experiments.run import run
from tests.conftest import SCORED, TINY, composed

GOLDEN = Path(__file__).parent / "golden"
EXPERIMENTS = Path(__file__).parent.parent / "conf" / "experiment"
NAMES = sorted(
    path.relative_to(EXPERIMENTS).with_suffix("").as_posix() for path in EXPERIMENTS.rglob("*.yaml")
)
RUNS = {
    "textures": TINY,
    "auc": [*SCORED, "masks=samples", "masks.samples.p=0.5"],
    "cifar": [
        "experiment=cifar/laptop",
        "masks=fine_stage",
        "dataset.train=30",
        "dataset.validation=20",
        "dataset.test=20",
        "epochs=2",
        "batch_size=10",
    ],
}


def planned(name):
    """Give how many runs an experiment plans, and a digest of what they ask."""
    asked = sorted(question_id(job.settings) for job in plan([name]))
    return f"{len(asked)} {hashlib.sha256(' '.join(asked).encode()).hexdigest()[:12]}"


def short_run(kind, folder):
    """Give the numbers of a short float32 run on one thread."""
    result = run(composed(RUNS[kind], folder, "precision=float32", "device=cpu"))
    return {"train": result["train"], **result["final"]}


def golden(file, key, found):
    """Give what is kept in a file under a key; keep what was found, if so told."""
    path = GOLDEN / file
    kept = json.loads(path.read_text()) if path.exists() else {}
    if os.environ.get("GOLDEN") == "write":
        kept[key] = found
        path.write_text(json.dumps(kept, indent=0, sort_keys=True) + "\n")
    return kept[key]


def test_nothing_is_kept_of_experiments_that_are_gone():
    assert sorted(json.loads((GOLDEN / "plans.json").read_text())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_plans_the_runs_that_it_planned(name):
    found = planned(name)
    assert found == golden("plans.json", name, found)


@pytest.mark.parametrize("kind", ["textures", "auc"])
def test_a_short_run_has_the_numbers_that_it_had(kind, tmp_path):
    expect_golden(kind, short_run(kind, tmp_path))


def test_a_short_run_on_images_has_the_numbers_that_it_had(doors, few_images, tmp_path):
    (tmp_path / "data").symlink_to(doors["cifar-10-batches-py"])
    expect_golden("cifar", short_run("cifar", tmp_path))


def expect_golden(kind, numbers):
    kept = golden("runs.json", kind, numbers)
    assert numbers == {name: pytest.approx(values, rel=1e-3) for name, values in kept.items()}
