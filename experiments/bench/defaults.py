"""The settings that training takes by default, beside plain float32 and further options."""

from collections.abc import Callable, Iterator

from torch import nn

from experiments.bench.memory import PEAK, peak_bytes
from experiments.bench.steps import built, settings_of, step_of
from experiments.bench.table import Row, Setting, noted, rows
from experiments.bench.timing import alternating
from experiments.identity import Settings

RUNS = {"textures/laptop": "two-scale masks", "auc/digits_updates": "sample masks"}
DEFAULTS = "defaults"
Step = Callable[[], object]


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare the settings on a task with images and on one with a small net."""
    for experiment, kind in RUNS.items():
        small = ("batch_size=4",) if setting.smoke else ()
        settings = settings_of(experiment, kind, setting, *small)
        float32 = {**settings, "precision": "float32"}
        variants = {
            "float32, contiguous": step_of(
                float32, built(float32, channels_last=False), channels_last=False
            ),
            "float32, channels_last": step_of(float32, built(float32)),
            DEFAULTS: step_of(settings, built(settings)),
            "defaults, ReLU not in place": _out_of_place(settings),
        }
        if not settings["optimizer"].get("fused"):
            variants["defaults, fused Adam"] = _fused(settings)
        failures = [] if setting.smoke else _add_compiled(variants, settings, experiment)
        times = alternating(variants, setting.seconds, setting.fewest, device=setting.device)
        memory = {name: peak_bytes(step, setting.device) for name, step in variants.items()}
        yield [*rows("defaults", experiment, times, DEFAULTS, memory, PEAK), *failures]


def _fused(settings: Settings) -> Step:
    fused = {**settings, "optimizer": {**settings["optimizer"], "fused": True}}
    return step_of(fused, built(fused))


def _out_of_place(settings: Settings) -> Step:
    parts = built(settings)
    for module in parts.model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return step_of(settings, parts)


def _add_compiled(variants: dict[str, Step], settings: Settings, case: str) -> list[Row]:
    """Add compiled steps; on a GPU also as CUDA graphs. Give rows for those that fail."""
    modes = {"defaults, compiled": "default"}
    if settings["device"] == "cuda":
        modes["defaults, compiled to CUDA graphs"] = "reduce-overhead"
    failures = []
    for name, mode in modes.items():
        parts = built(settings)
        parts.model.compile(mode=mode)  # type: ignore[no-untyped-call]
        try:
            step = step_of(settings, parts)
            step()
        except Exception as error:  # no compiler, or one that fails
            lines = str(error).strip().splitlines() or [type(error).__name__]
            failures.append(noted("defaults", case, name, f"failed: {lines[0]}"))
        else:
            variants[name] = step
    return failures
