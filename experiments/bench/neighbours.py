"""What every arm of the neighbours' experiments adds to a step of plain training."""

from collections import defaultdict
from collections.abc import Iterator

from experiments.bench.memory import PEAK, peak_bytes
from experiments.bench.steps import built, jobs, step_of
from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import alternating
from experiments.plan import Job

EXPERIMENTS = ("textures", "cifar", "mlp_pendigits", "mlp_letter", "mlp_cifar")
SMALL = {
    "textures": ("dataset.size=128", "model.channels=4", "batch_size=2", "model.coarse_layers=2"),
    "mlp_letter": ("model.widths=[8,8]", "batch_size=20", "chosen_by=null"),
}


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare the arms of each experiment, at each width where there are several."""
    for name in SMALL if setting.smoke else EXPERIMENTS:
        experiment = f"neighbours/{name}"
        arms_of: dict[str, list[Job]] = defaultdict(list)
        for job in jobs(experiment, setting, *(SMALL[name] if setting.smoke else ())):
            arms_of[experiment + _at_width(job)].append(job)
        for comparison, arms in arms_of.items():
            steps = {job.places[0].kind: step_of(job.settings, built(job.settings)) for job in arms}
            times = alternating(steps, setting.seconds, setting.fewest, device=setting.device)
            memory = {arm: peak_bytes(step, setting.device) for arm, step in steps.items()}
            case = f"batch of {arms[0].settings['batch_size']}"
            yield rows(comparison, case, times, "none", memory, PEAK)


def _at_width(job: Job) -> str:
    """Give the part of a comparison's name that tells the width of a multi-layer perceptron."""
    widths = job.settings["model"].get("widths")
    return f"/{widths[0]}" if widths else ""
