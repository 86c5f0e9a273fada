"""Write what validation chose, by the committed tuning runs, into conf/.

Searches go to conf/chosen/<experiment>.yaml; older sweeps to conf/rates and conf/strengths.

    python -m experiments.choose

Of the options of an arm, the one with the best final validation metric in the mean over the tuning
seeds is chosen, and of equals the first that was tried: the lowest rate, the weakest strength.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import yaml
from omegaconf import OmegaConf

from experiments.chosen import Unfinished, choose, chosen_text
from experiments.collect import finished_by_question
from experiments.identity import question_id
from experiments.loop import HIGHER_IS_BETTER
from experiments.sweep import Job, plan
from experiments.train import CONF


@dataclass(frozen=True)
class Choice:
    """What a tuning experiment chooses: for each arm an ``option``, at each value of ``by``."""

    experiment: str
    option: str
    by: str = ""


RATES = {
    f"rates/{task}_{budget}": Choice(
        f"auc/tuning_{task}_{budget}", option="optimizer.lr", by="choices.p"
    )
    for task in ("digits", "letter", "cifar", "f1_letter")
    for budget in ("updates", "passes")
}
STRENGTHS = {
    f"strengths/{task}": Choice(
        f"neighbours/tuning_{task}",
        option="choices.level",
        by="model.widths" if task.startswith("mlp") else "",
    )
    for task in ("textures", "cifar", "mlp_pendigits", "mlp_letter", "mlp_cifar")
}
CHOICES = RATES | STRENGTHS

Scores = dict[str, dict[str, dict[str, float]]]
"""The validated metric, higher for better, by arm, by the value of ``by``, and by option."""


def place(job: Job, choice: Choice) -> tuple[str, str, str]:
    """Give the arm of a job, its value of ``by`` (of widths the first) and its option."""
    swept = dict(text.split("=", 1) for text in job.label.split(" ")[1:])
    at = yaml.safe_load(swept.get(choice.by, "''"))
    at = at[0] if isinstance(at, list) else at
    return swept.get("arm", ""), str(at), swept.get(choice.option, "")


def validated(choice: Choice, folder: Path) -> Scores:
    """Give the mean final validation metric of all options, by the table in ``folder``.

    Raises:
        Unfinished: a run of the experiment is not finished there.
    """
    rows = finished_by_question(folder)
    jobs = plan([choice.experiment])
    found = [(job, rows[asked]) for job in jobs if (asked := question_id(job.settings)) in rows]
    if lacking := len(jobs) - len(found):
        raise Unfinished(f"{lacking} of {len(jobs)} runs of {choice.experiment} are not finished")
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for job, row in found:
        metric = job.settings["metric"]
        value = row[f"final.validation.{metric}"]
        values[place(job, choice)].append(value if metric in HIGHER_IS_BETTER else -value)
    scores: Scores = {}
    for (arm, at, option), of_seeds in values.items():
        scores.setdefault(arm, {}).setdefault(at, {})[option] = mean(of_seeds)
    return scores


def chosen_file(choice: Choice, scores: Scores) -> str:
    """Write the file of the best options: one an arm, or one for each value of ``by``.

    Left out are arms with nothing to choose.
    """
    what = "Learning rates" if choice.option == "optimizer.lr" else "Strengths"
    lines = [f"# {what} of the arms, chosen by validation ({choice.experiment})."]
    for arm, places in scores.items():
        if all(len(options) == 1 for options in places.values()):
            continue
        best = {at: max(options, key=options.__getitem__) for at, options in places.items()}
        if len(best) > 1:
            pairs = ", ".join(f"{at}: {option}" for at, option in best.items())
            lines.append(f"{arm}: {{{pairs}}}")
        else:
            lines += [f"{arm}: {option}" for option in best.values()]
    return "\n".join(lines) + "\n"


def write_choices(tuning: Path, conf: Path) -> None:
    """Write every file whose tuning runs are finished in the table, and name the others."""
    for name, choice in CHOICES.items():
        try:
            text = chosen_file(choice, validated(choice, tuning))
        except Unfinished as lack:
            print(f"{name}: left alone, {lack}")
        else:
            (conf / f"{name}.yaml").write_text(text)
            print(f"{name}: written")


def searches() -> list[str]:
    """Name the experiments that are searches."""
    folder = Path(CONF) / "experiment"
    return [
        path.relative_to(folder).with_suffix("").as_posix()
        for path in sorted(folder.rglob("*.yaml"))
        if "search" in OmegaConf.load(path)
    ]


def write_searches(tuning: Path, conf: Path) -> None:
    """Write what each search chose whose runs are finished in the table, and name the others."""
    finished = finished_by_question(tuning)
    for name in searches():
        jobs = plan([name])
        try:
            found = choose(jobs, finished)
        except Unfinished as lack:
            print(f"chosen/{name}: left alone, {lack}")
            continue
        seeds = len({job.settings["seed"] for job in jobs})
        path = conf / "chosen" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(chosen_text(name, found, jobs[0].settings["metric"], seeds))
        print(f"chosen/{name}: written")


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    tuning = parser.parse_args().results / "tuning"
    write_choices(tuning, Path(CONF))
    write_searches(tuning, Path(CONF))


if __name__ == "__main__":
    main()
