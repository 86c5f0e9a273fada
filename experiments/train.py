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
from experiments.refusals import ConfigurationError, one_line
from experiments.run import run
from experiments.run_store import Row
from experiments.schema import CONF
from experiments.sweep_log import PARENT, VARIABLE, SweepLog, describe, report_failures

FULL_ERROR = "HYDRA_FULL_ERROR"
FULL = bool(os.environ.get(FULL_ERROR))  # whether the user wants tracebacks
NO_RUN = "-"  # in the place of the id of a job whose configuration is refused


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(config: DictConfig) -> float:
    """Run one configuration; return its validation metric, for sweepers that optimise."""
    launch = HydraConfig.get()
    if config.system.allow and not any(
        text.lstrip("+").startswith("system.allow=") for text in launch.overrides.task
    ):
        raise ConfigurationError("system.allow can be given on the command line only")
    if launch.mode is RunMode.MULTIRUN:
        if "joblib" in launch.launcher._target_:
            end_with(int(os.environ[PARENT]))
        parallel = "basic_launcher" not in launch.launcher._target_
        result = run_in_sweep(config, launch.job.override_dirname, parallel)
    else:
        result = refused_in_one_line(lambda: run_alone(settings_of(config)))
        say_arms(config)
    return float(result["final"]["validation"][config.metric.name])


def refused_in_one_line(do: Callable[[], Row]) -> Row:
    """Do something; end with one line if it fails, before Hydra would say more."""
    try:
        return do()
    except Exception as error:
        if FULL:
            raise
        raise SystemExit(one_line(error, HydraConfig.get().overrides.task)) from error


def say_arms(config: DictConfig) -> None:
    """Say that a run is none of the arms of its experiment, where it has arms."""
    asked = any(text.startswith("arm=") for text in HydraConfig.get().overrides.task)
    if config.arms and not asked:
        arms = ", ".join(repr(name) for name in config.arms)
        print(
            f"arm is not given: this run is none of the experiment's arms, which are {arms}; "
            "arm=null says so",
            file=sys.stderr,
        )


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


def command_line() -> int:
    """Run what the command line asks for; say what fails in one line, or in a list at the end."""
    os.environ[FULL_ERROR] = "1"  # errors come here, not to Hydra's own printing of them
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except Exception as error:
        if FULL:
            raise
        if VARIABLE not in os.environ or not SweepLog(Path(os.environ[VARIABLE])).failures():
            print(one_line(error, sys.argv[1:]), file=sys.stderr)
            return 1
    return report_failures(SweepLog(Path(os.environ[VARIABLE]))) if VARIABLE in os.environ else 0


if __name__ == "__main__":
    sys.exit(command_line())
