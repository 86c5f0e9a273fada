"""What experiments declare of themselves, checked and plain, for those who read the tables."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments.arms import arms_of
from experiments.configurations import PROJECT, Configurations
from experiments.figures import FIGURES, GROUPS
from experiments.identity import Settings
from experiments.naming import in_words
from experiments.plan import Job, Place
from experiments.schema import CONF, Chapter
from experiments.tables import flatten


def declarations(
    experiments: Sequence[str], jobs: Iterable[Job], conf: Configurations = PROJECT
) -> dict[str, Any]:
    """Give the chapters and the checked report blocks of experiments.

    Raises:
        ValueError: a figure, kind, arm or key that there is not, named with its experiment.
    """
    asked, known = list(jobs), chapters()
    configs = conf.experiments(experiments)
    declared = {}
    for name, config in configs.items():
        own = [(job.settings, p) for job in asked for p in job.places if p.experiment == name]
        try:
            declared[name] = _declared(config, own, known.get(name.partition("/")[0]))
        except ValueError as error:
            raise ValueError(f"{name}: report.{error}") from error
    return {"chapters": known, "experiments": declared}


def chapters(conf: Path = Path(CONF)) -> dict[str, Any]:
    """Give the chapters of the report by folder of conf/experiment/."""
    found = OmegaConf.load(conf / "chapters.yaml")
    return {str(name): _plain(OmegaConf.merge(Chapter, node)) for name, node in found.items()}


def _declared(
    config: DictConfig, own: Sequence[tuple[Settings, Place]], chapter: Mapping[str, Any] | None
) -> dict[str, Any]:
    report = _plain(config.report)
    _check(report, own)
    if report["smallest_effect"] is None and not chapter:
        raise ValueError("smallest_effect must be a number: no chapter has one for it; got null")
    search = _plain(config.search) if config.search.seeds else None
    split = "validation" if search else "test"
    return {
        **report,
        "kinds": list(dict.fromkeys(run.kind for run in arms_of(config))),
        "metric": f"{split}.{config.metric.name}",
        "search": search,
        "chosen_by": config.chosen_by,
    }


def _check(report: Mapping[str, Any], own: Sequence[tuple[Settings, Place]]) -> None:
    arms, kinds = {place.arm for _, place in own}, {place.kind for _, place in own}
    keys = {key for settings, _ in own for key in flatten(settings)}
    if report["baseline"]:
        tried = {f"{place.arm} ({in_words(place.tried)})" for _, place in own if place.tried}
        _one_of("baseline", report["baseline"], arms | tried)
    for kind in report["claim"]:
        _one_of("claim", kind, kinds)
    for name, rival in report["rivals"].items():
        _one_of(f"rivals.{name}.against", rival["against"], arms | kinds)
        if rival["arms"] is not None:
            _one_of(f"rivals.{name}.arms", rival["arms"], kinds)
    for key in report["columns"]:
        _one_of("columns", key, keys)
    for figure in report["figures"]:
        _check_figure(figure, keys | set(GROUPS))


def _check_figure(figure: Any, keys: set[str]) -> None:
    if not isinstance(figure, Mapping):
        _one_of("figures", figure, {name for name, takes in FIGURES.items() if not takes})
        return
    name = next(iter(figure))
    _one_of("figures", name, {name for name, takes in FIGURES.items() if takes})
    for key, value in figure.items():
        _one_of(f"figures.{name}", key, set(FIGURES[name]))
        if key != "of":  # measured: only runs tell
            _one_of(f"figures.{name}.{key}", value, keys)


def _one_of(key: str, value: Any, known: set[str]) -> None:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(sorted(known))}; got {value!r}")


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, enum_to_str=True, throw_on_missing=True)
