"""Plan the runs of experiments: each arm in each setting at each seed, every run once."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from experiments.arms import ArmRun, arm_runs, arms_of, chosen_for, read_chosen
from experiments.configurations import PROJECT, Configurations
from experiments.identity import Settings, resolve, run_id
from experiments.naming import fill, in_words
from experiments.sweep_log import expand, sweep_parameters
from experiments.tables import flatten

EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Place:
    """Where a run stands in an experiment.

    Attributes:
        experiment: its name.
        arm: the label of its arm.
        kind: what arms have in common that differ in a number.
        setting: what else varies: in it an arm meets its baseline.
        chosen: what a search chose for the arm, in words.
        tried: what a search tries with this run.
    """

    experiment: str
    arm: str = ""
    kind: str = ""
    setting: str = ""
    chosen: str = ""
    tried: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def varies(self) -> str:
        """Say what varies beside the arm: its setting, and what a search tries."""
        return ", ".join(filter(None, (self.setting, in_words(self.tried))))


@dataclass(frozen=True)
class Job:
    """A run that a preset asks for, and its places in experiments."""

    id: str
    places: tuple[Place, ...]
    label: str
    settings: Settings

    @property
    def experiments(self) -> tuple[str, ...]:
        """Name the experiments that ask for the run."""
        return tuple(dict.fromkeys(place.experiment for place in self.places))


def plan(
    experiments: Sequence[str],
    overrides: Sequence[str] = (),
    pairs: Mapping[str, int] = EMPTY,
    conf: Configurations = PROJECT,
) -> list[Job]:
    """List the runs of experiments, each once, in the order of their files.

    Args:
        experiments: their names.
        overrides: what all runs set; they count over what arms and experiments say.
        pairs: how many of its seeds, the first ones, an experiment is asked for; by default all.
        conf: where configurations lie.
    """
    jobs: dict[str, Job] = {}
    with conf.begun():
        for experiment in experiments:
            for job in _expand(experiment, overrides, pairs.get(experiment), conf):
                known = jobs.get(job.id)
                places = dict.fromkeys((*known.places, *job.places)) if known else job.places
                jobs[job.id] = replace(known or job, places=tuple(places))
    return list(jobs.values())


def one_arm(overrides: Sequence[str], name: str) -> Settings:
    """Give the settings of the arm of an experiment that has this label.

    Args:
        overrides: those of the run, the experiment's among them; they count over the arm's.
        name: the label.

    Raises:
        ValueError: no such arm; the message names those there are.
    """
    given = [text for text in overrides if _key(text) != "arm"]
    with PROJECT.begun():
        composer = _Composer(PROJECT)
        config = PROJECT.compose(given, with_hydra=True)
        found = read_chosen(PROJECT, config.chosen_by) if config.chosen_by else {}
        values = {**flatten(resolve(composer.config(given))), **config.hydra.runtime.choices}
        varied = [_key(text) for text in sweep_parameters(config)]
        swept = {key: values[key] for key in varied if key != "seed" and key in values}
        known = []
        for run in arms_of(config):
            settings, place = _placed(composer, run, given, swept, found, config.report.setting)
            if place.arm == name:
                return settings
            known.append(place.arm)
    names = ", ".join(map(repr, known)) or "none: name an experiment that has arms"
    raise ValueError(f"arm must be one of {names}; got {name!r}")


def _expand(
    experiment: str, overrides: Sequence[str], pairs: int | None, conf: Configurations
) -> list[Job]:
    chosen = [f"experiment={experiment}", *overrides]
    single = [text for text in chosen if not _parsed(text).is_sweep_override()]
    config = conf.compose(single, with_hydra=True)
    fixed = {_key(text) for text in chosen} | {"seed"}
    found = read_chosen(conf, config.chosen_by) if config.chosen_by else {}
    composer = _Composer(conf)
    jobs = []
    asked = _of_first_seeds(expand([*sweep_parameters(config), *chosen]), pairs)
    for given, run in product(asked, arm_runs(config)):
        swept = {_key(text): _parsed(text).value() for text in given if _key(text) not in fixed}
        settings, place = _placed(composer, run, given, swept, found, config.report.setting)
        place = replace(place, experiment=experiment)
        words = (experiment, place.arm, place.varies, f"seed {settings['seed']}")
        jobs.append(Job(run_id(settings), (place,), ", ".join(filter(None, words)), settings))
    return jobs


def _of_first_seeds(jobs: Sequence[Sequence[str]], pairs: int | None) -> list[Sequence[str]]:
    """Keep what so many seeds are asked for, in the order in which seeds are named."""
    seeds = [text for given in jobs for text in given if _key(text) == "seed"]
    kept = list(dict.fromkeys(seeds))[:pairs]
    return [given for given in jobs if not seeds or any(text in kept for text in given)]


def _placed(
    composer: "_Composer",
    run: ArmRun,
    given: Sequence[str],
    swept: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    template: str,
) -> tuple[Settings, Place]:
    """Give the settings of a run with what was chosen for its arm, and its place."""
    settings = resolve(composer.config([*_texts(run.sets), *given]))
    values = {**flatten(settings), **swept}
    arm, setting = fill(run.name, values), fill(template, values) if template else in_words(swept)
    chosen = chosen_for(arm, setting, found) if found else {}
    if chosen:
        settings = resolve(composer.config([*_texts({**run.sets, **chosen}), *given]))
    return settings, Place("", arm, run.kind, setting, in_words(chosen), run.tried)


class _Composer:
    """Composes configurations, each choice of files once: this takes a tenth of a second."""

    def __init__(self, conf: Configurations) -> None:
        self._conf = conf
        self._of_files = cache(conf.compose)

    def config(self, overrides: Sequence[str]) -> DictConfig:
        """Compose; of two overrides of one key the later one counts.

        Values are set after files have been chosen, as Hydra does it.
        """
        texts = list({_key(text): text for text in overrides}.values())
        plain = [text for text in texts if self._sets_a_value(text)]
        config: DictConfig = deepcopy(self._of_files(tuple(t for t in texts if t not in plain)))
        for override in map(_parsed, plain):
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        return config

    def _sets_a_value(self, text: str) -> bool:
        """Tell an override that gives a value from one that chooses a file, adds or deletes."""
        override = _parsed(text)
        return override.type == OverrideType.CHANGE and not self._conf.is_group(
            override.key_or_group
        )


def _texts(values: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_value_text(value)}" for key, value in values.items()]


def _value_text(value: Any) -> str:
    """Write a value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")


@cache
def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)
