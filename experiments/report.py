"""What experiments declare of themselves, checked and plain, for those who read the tables."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from experiments.figures import PLAIN, WITH_KEYS
from experiments.identity import Settings
from experiments.plan import Job, Place
from experiments.schema import CONF, Chapter
from experiments.tables import flatten


def declarations(experiments: Sequence[str], jobs: Iterable[Job]) -> dict[str, Any]:
    """Give the chapters and the checked report blocks of experiments.

    Raises:
        ValueError: a figure, kind, arm or key that there is not, named with its experiment.
    """
    asked = list(jobs)
    with initialize_config_dir(CONF, version_base="1.3"):
        configs = {name: compose("train", [f"experiment={name}"]) for name in experiments}
    return {
        "chapters": chapters(),
        "experiments": {name: _declared(name, config, asked) for name, config in configs.items()},
    }


def chapters(conf: Path = Path(CONF)) -> dict[str, Any]:
    """Give the chapters of the report by folder of conf/experiment/."""
    found = OmegaConf.load(conf / "chapters.yaml")
    return {str(name): _plain(OmegaConf.merge(Chapter, node)) for name, node in found.items()}


def _declared(experiment: str, config: DictConfig, jobs: Sequence[Job]) -> dict[str, Any]:
    own = [(job.settings, p) for job in jobs for p in job.places if p.experiment == experiment]
    report = _plain(config.report)
    try:
        _check(report, own)
    except ValueError as error:
        raise ValueError(f"{experiment}: report.{error}") from error
    search = _plain(config.search) if config.search.seeds else None
    split = "validation" if search else "test"
    metric = f"{split}.{config.metric.name}"
    return {**report, "metric": metric, "search": search, "chosen_by": config.chosen_by}


def _check(report: Mapping[str, Any], own: Sequence[tuple[Settings, Place]]) -> None:
    arms, kinds = {place.arm for _, place in own}, {place.kind for _, place in own}
    keys = {key for settings, _ in own for key in flatten(settings)}
    if report["baseline"]:
        _one_of("baseline", report["baseline"], arms)
    for kind in report["claim"]:
        _one_of("claim", kind, kinds)
    for name, rival in report["rivals"].items():
        _one_of(f"rivals.{name}.against", rival["against"], arms | kinds)
        if rival["arms"] is not None:
            _one_of(f"rivals.{name}.arms", rival["arms"], kinds)
    for key in report["columns"]:
        _one_of("columns", key, keys)
    for figure in report["figures"]:
        _check_figure(figure, keys)


def _check_figure(figure: Any, keys: set[str]) -> None:
    if not isinstance(figure, Mapping):
        _one_of("figures", figure, {*PLAIN, *WITH_KEYS})
        return
    name = next(iter(figure))
    _one_of("figures", name, set(WITH_KEYS))
    for key in figure:
        _one_of(f"figures.{name}", key, set(WITH_KEYS[name]))


def _one_of(key: str, value: Any, known: set[str]) -> None:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(sorted(known))}; got {value!r}")


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, enum_to_str=True, throw_on_missing=True)
