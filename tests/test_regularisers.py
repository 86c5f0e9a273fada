"""What acts at the steps of training, and layers of the dropout family: by one override each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf.errors import OmegaConfBaseException

from experiments.build import ConfigurationError, build
from experiments.identity import resolve, run_id
from experiments.loop import batches_of, train_epoch
from experiments.run import run
from experiments.schema import CONF
from tests.test_run import Interrupted, interrupt_after, numbers, store_of, without_times

TEXTURES = ["dataset.size=32", "dataset.train_per_class=3", "dataset.validation=8"]
NETS = {
    "texture_net": [*TEXTURES, "model.channels=4", "model.fine_layers=2", "model.coarse_layers=1"],
    "all_conv": [
        *(*TEXTURES, "model=all_conv", "model.classes=4", "model.width=0.05"),
        "+model.in_channels=1",
    ],
    "mlp": [
        *("dataset=tabular", "dataset.name=digits", "dataset.train=12", "dataset.validation=10"),
        *("model=mlp", "model.inputs=64", "+model.classes=10", "model.widths=[8,8]"),
    ],
}  # fmt: skip
REGULARISERS = [
    ("texture_net", "regulariser=channel_dropback"),
    ("texture_net", "regulariser=channel_dropback_code regulariser.rate_layer=1"),
    ("mlp", "regulariser=ydrop"),
    ("texture_net", "masks=two_scale +masks.fine.schedule.start=0 +masks.coarse.schedule.start=.9"),
    ("texture_net", "masks=dropblock +masks.first_dropblock.schedule.start=0.0"),
]


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def settings(net: str, *overrides: str, folder: str = "runs") -> dict[str, Any]:
        always = ["dataset.test=8", "batch_size=5", "epochs=2", "precision=float32"]
        always += [
            "system.threads=1",
            f"system.data={tmp_path}",
            f"system.runs={tmp_path / folder}",
        ]
        with initialize_config_dir(CONF, version_base="1.3"):
            return resolve(compose("train", [*NETS[net], *always, *overrides]))

    return settings


@pytest.mark.parametrize(
    ("net", "override"),
    [
        *REGULARISERS,
        ("mlp", "regulariser=channel_dropback"),
        ("texture_net", "masks=dropout"),
        ("all_conv", "masks=dropout"),
        ("mlp", "masks=dropout"),
        ("all_conv", "masks=dropout_with_input"),
        ("texture_net", "masks=spatial_dropout"),
        ("all_conv", "masks=dropblock"),
        ("all_conv", "masks=backdrop_and_dropout"),
        ("texture_net", "masks=backdrop_and_dropout"),
        ("all_conv", "masks=fine_stage_and_dropout"),
        ("texture_net", "regulariser=channel_dropback_code regulariser.rate_layer=1"),
    ],
)
def test_one_override_changes_training(tiny, net, override):
    plain, treated = run(tiny(net)), run(tiny(net, *override.split()))
    assert treated["train"]["loss"] != plain["train"]["loss"]


@pytest.mark.parametrize(("net", "override"), REGULARISERS)
@pytest.mark.parametrize("epoch", [1, 4])
def test_an_interrupted_run_resumes_to_the_same_numbers(tiny, net, override, epoch):
    warmup = ["regulariser.warmup=7"] if net == "mlp" else []
    every = [*override.split(), *warmup, "epochs=5"]
    whole, broken = tiny(net, *every, folder="whole"), tiny(net, *every)
    broken["system"]["checkpoint_seconds"] = 0
    expected = run(whole)
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(epoch))
    assert numbers(run(broken)) == numbers(expected)
    assert without_times(store_of(broken).metrics()) == without_times(store_of(whole).metrics())


@pytest.mark.parametrize(
    ("masks", "name", "p"), [("two_scale", "fine", 0.5), ("dropblock", "first_dropblock", 0.1)]
)
def test_scheduled_masks_move_from_the_start_to_the_p_of_their_entry(tiny, masks, name, p):
    at = [f"+masks.{name}.schedule.{key}" for key in ("start=0.2", "begin=0.25", "finish=0.75")]
    settings = tiny("texture_net", f"masks={masks}", *at, "epochs=4")
    parts = build(settings)
    (schedule,) = parts.schedules
    (layer,) = schedule.layers
    train = parts.dataset.load("train", Path(settings["system"]["data"]))
    batches, found = batches_of(settings, parts, train[1]), []
    parts.model.register_forward_pre_hook(lambda *_: found.append(layer.p))
    for epoch in range(1, 5):
        train_epoch(settings, parts, train, batches, epoch)
    steps = len(found)
    assert steps == 12
    parts_done = [min(max((step / steps - 0.25) / 0.5, 0), 1) for step in range(steps)]
    assert found == pytest.approx([0.2 + (p - 0.2) * part for part in parts_done])
    assert found[-1] == p


def test_a_schedule_of_one_value_trains_as_that_value_does(tiny):
    plain = tiny("texture_net", "masks=two_scale", folder="plain")
    held = tiny("texture_net", "masks=two_scale", "+masks.fine.schedule.start=0.5")
    assert run_id(held) != run_id(plain)
    assert numbers(run(held)) == numbers(run(plain))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+masks.fine.schedule=0.5", r"^masks\.fine\.schedule must hold start, .* got 0\.5"),
        ("+masks.fine.schedule.end=0.5", r"^masks\.fine\.schedule: .*'start'"),
        ("+masks.fine.schedule.start=1", r"^masks\.fine\.schedule: start must lie in .* got 1"),
        ("+masks.fine.schedule={start:0,over:2}", r"^masks\.fine\.schedule\.over is unknown"),
        ("+masks.fine.schedule={start:0,begin:.5,finish:.5}", "begin must be below finish"),
    ],
)
def test_wrong_schedules_are_named_by_their_key(tiny, override, message):
    with pytest.raises(ConfigurationError, match=message):
        build(tiny("texture_net", "masks=two_scale", override))


class Recorder:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def set_epoch(self, epoch: int) -> None:
        self.calls.append(epoch)

    def update(self, inputs: Any, targets: Any) -> None:
        self.calls.append(tuple(inputs.shape))


def test_it_hears_of_the_epoch_from_0_and_of_each_batch_before_the_forward_pass(tiny):
    settings = tiny("mlp")
    parts = build(settings)
    parts.regulariser = Recorder()
    parts.model.register_forward_pre_hook(lambda *_: parts.regulariser.calls.append("forward"))
    train = parts.dataset.load("train", Path(settings["system"]["data"]))
    train_epoch(settings, parts, train, batches_of(settings, parts, train[1]), 1)
    steps = [(5, 64), "forward", (5, 64), "forward", (2, 64), "forward"]
    assert parts.regulariser.calls == [0, *steps]


def test_the_schedule_of_the_published_code_follows_the_epochs_of_the_run(tiny):
    settings = tiny("texture_net", "regulariser=channel_dropback_code", "epochs=10")
    dropback = build(settings).regulariser
    assert [dropback.rate_layer(epoch) for epoch in (0, 4, 5, 7, 8)] == [
        0.03,
        0.03,
        0.15,
        0.15,
        0.3,
    ]


def test_warmup_is_given_in_epochs(tiny):
    assert tiny("mlp", "regulariser=ydrop")["regulariser"]["warmup"] == 9
    full = tiny("mlp", "regulariser=ydrop", "batch_size=null")
    assert full["regulariser"]["warmup"] == 3
    budget = tiny("mlp", "regulariser=ydrop", "+budget.updates=7")
    assert budget["regulariser"]["warmup"] == 21


@pytest.mark.parametrize("override", ["+budget.passes=2", "batching=stratified", "~dataset.train"])
def test_epochs_of_unknown_length_are_refused(tiny, override):
    message = r"give a number of updates\n.*regulariser\.warmup"
    with pytest.raises(OmegaConfBaseException, match=message):
        tiny("mlp", "regulariser=ydrop", override)


@pytest.mark.parametrize(
    ("form", "override", "message"),
    [
        ("channel_dropback", "regulariser.fraction=2", r"^regulariser: fraction .* 2"),
        ("channel_dropback", "+regulariser.rate=2", r"^regulariser\.rate is unknown; .*fraction"),
        ("channel_dropback", "+regulariser.layers=[nowhere]", r"^regulariser: .*'nowhere'"),
        ("channel_dropback_code", "regulariser.rate_layer=2", r"^regulariser: rate_layer .* 2"),
        ("channel_dropback_code", "regulariser.rate_layer.epochs=0", r"^regulariser\.rate_layer: "),
        ("channel_dropback_code", "+regulariser.rate_layer.q=0", r"rate_layer\.q is unknown"),
        ("ydrop", "regulariser.warmup=0", r"^regulariser: TextureNet has no hidden linear layer"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_named_by_its_key(tiny, form, override, message):
    with pytest.raises(ConfigurationError, match=message):
        build(tiny("texture_net", f"regulariser={form}", override))


def test_a_place_that_the_model_lacks_is_named(tiny):
    with pytest.raises(OmegaConfBaseException, match=r"places\.input"):
        tiny("texture_net", "masks=dropout_with_input")
