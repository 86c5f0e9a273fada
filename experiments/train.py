"""Train one configuration, or a sweep of them with ``-m``.

    python -m experiments.train experiment=textures/laptop masks=two_scale masks.fine.p=0.5 seed=3
    python -m experiments.train experiment=auc/letter_updates arm='full batch'
    python -m experiments.train -m experiment=textures/laptop masks=two_scale masks.fine.p=0,0.5,0.9

The run's directory under results/runs is named by the hash of its configuration: asked for again,
a finished run answers at once and an interrupted one goes on.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from tqdm import tqdm

from experiments.identity import Settings, resolve, run_id
from experiments.orphans import end_with
from experiments.plan import one_arm
from experiments.run import run
from experiments.run_store import Row
from experiments.schema import CONF
from experiments.sweep_log import PARENT, VARIABLE, SweepLog, describe, report_failures

NO_RUN = "-"  # in the place of the id of a job whose configuration is refused


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> float:
    """Run one configuration; return its validation metric, for sweepers that optimise."""
    launch = HydraConfig.get()
    if launch.mode is RunMode.MULTIRUN:
        if "joblib" in launch.launcher._target_:
            end_with(int(os.environ[PARENT]))
        parallel = "basic_launcher" not in launch.launcher._target_
        result = run_in_sweep(config, launch.job.override_dirname, parallel)
    else:
        result = run_alone(settings_of(config))
    return float(result["final"]["validation"][config.metric.name])


def settings_of(config: DictConfig) -> Settings:
    """Give the settings of a run: what was composed, or the arm of its experiment that it names."""
    if config.arm is None:
        return resolve(config)
    return one_arm(HydraConfig.get().overrides.task, config.arm)


def run_alone(settings: Settings) -> Row:
    """Run with a progress bar on a terminal, and say where the run is."""
    hidden = not (settings["system"]["progress"] and sys.stderr.isatty())
    with tqdm(total=settings["epochs"], unit="epoch", disable=hidden) as bar:
        result = run(settings, progress(bar))
    where = Path(settings["system"]["runs"]) / run_id(settings)
    print(f"{where}: {describe(result, settings['metric'])}")
    return result


def progress(bar: "tqdm[None]") -> Callable[[Row], None]:
    """Give a reporter that moves a bar to each epoch's row."""

    def report(row: Row) -> None:
        bar.update(row["epoch"] - bar.n)
        bar.set_postfix(loss=f"{row['train']['loss']:.3f}", norm=f"{row['gradient_norm']:.2g}")

    return report


def run_in_sweep(config: DictConfig, label: str, parallel: bool) -> Row:
    """Run as a job of a sweep: one line at its end, also if it fails.

    Jobs that run ``parallel`` have one thread each, if nothing else is set.
    """
    log = SweepLog(Path(os.environ[VARIABLE]))
    id = NO_RUN
    try:
        settings = settings_of(config)
        if parallel and settings["system"]["threads"] is None:
            settings["system"]["threads"] = 1
        id = run_id(settings)
        result = run(settings)
    except Exception as error:
        log.add(id, label, f"failed: {error}", failed=True)
        raise
    log.add(id, label, describe(result, settings["metric"]))
    return result


if __name__ == "__main__":
    try:
        main()
    finally:
        if VARIABLE in os.environ:
            report_failures(SweepLog(Path(os.environ[VARIABLE])))
