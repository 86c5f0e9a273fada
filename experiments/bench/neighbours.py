"""What every arm of the neighbours' experiments adds to a step of plain training."""

from collections import defaultdict
from collections.abc import Iterator

from experiments.bench.memory import PEAK, peak_bytes
from experiments.bench.steps import built, jobs, step_of, value_in
from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import alternating
from experiments.sweep import Job

EXPERIMENTS = ("textures", "cifar", "mlp_pendigits", "mlp_letter", "mlp_cifar")
SMALL = {
    "textures": ("dataset.size=128", "model.channels=4", "batch_size=2", "model.coarse_layers=2"),
    "mlp_letter": ("model.widths=[8,8]", "batch_size=20", "choices.level=middle"),
}


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare the arms of each experiment, at each width where there are several."""
    for name in SMALL if setting.smoke else EXPERIMENTS:
        experiment = f"neighbours/{name}"
        cases: dict[str, list[Job]] = defaultdict(list)
        for job in jobs(experiment, setting, *(SMALL[name] if setting.smoke else ())):
            cases[_case(job)].append(job)
        for case, arms in cases.items():
            steps = {
                value_in(job, "arm"): step_of(job.settings, built(job.settings)) for job in arms
            }
            times = alternating(steps, setting.seconds, setting.fewest, device=setting.device)
            memory = {arm: peak_bytes(step, setting.device) for arm, step in steps.items()}
            yield rows(experiment, case, times, "none", memory, PEAK)


def _case(job: Job) -> str:
    """Name what the arms share."""
    widths = job.settings["model"].get("widths")
    return f"width {widths[0]}" if widths else f"batch of {job.settings['batch_size']}"
