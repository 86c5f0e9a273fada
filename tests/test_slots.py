"""Each slot takes its kind, and no loader and no shell."""

import sys

import pytest
from torch import nn

from experiments.build import build
from experiments.refusals import ConfigurationError
from experiments.slots import SLOTS, target_of

NEVER = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "torch.load",
    "torch.hub.load",
    "torch.os.system",
    "experiments.collect.shutil.rmtree",
    "experiments.checksums.write_atomically",
    "experiments.build.construct",
    "experiments.orphans.end_with",
    "backdrop.datasets.cache.Path.unlink",
    "pandas.read_pickle",
]
KEYS = [*sorted(set(SLOTS) - {"masks", "measures"}), "masks.a", "measures.a", "regulariser.rate"]


@pytest.mark.parametrize("name", NEVER)
def test_no_slot_takes_what_loads_or_runs(name):
    for key in KEYS:
        with pytest.raises(ConfigurationError, match=rf"^{key}\._target_"):
            target_of(key, name)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model", "torch.optim.Adam"),
        ("optimizer", "torch.nn.Linear"),
        ("dataset", "torch.nn.Linear"),
        ("dataset", "backdrop.datasets.cache.cached"),
        ("loss", "torch.optim.Adam"),
        ("schedule", "torch.optim.Adam"),
        ("masks.a", "torch.optim.lr_scheduler.StepLR"),
        ("measures.a", "torch.nn.Linear"),
        ("model", 3),
    ],
)
def test_a_slot_takes_no_other_kind(key, name):
    with pytest.raises(ConfigurationError, match=rf"^{key}\._target_"):
        target_of(key, name)


def test_code_of_the_users_own_is_imported_only_when_it_is_allowed_by_name(
    scored_settings, tmp_path, monkeypatch
):
    (tmp_path / "my_package.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.classifier = nn.Linear(64, 1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = scored_settings() | {"model": {"_target_": "my_package.Net"}}
    with pytest.raises(ConfigurationError, match=r"system\.allow=\[my_package\.Net\]"):
        build(settings)
    assert "my_package" not in sys.modules
    settings["system"] = settings["system"] | {"allow": ["my_package.Net"]}
    assert isinstance(build(settings).model, nn.Module)
