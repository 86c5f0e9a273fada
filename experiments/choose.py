"""Write what validation chose, by the committed tuning runs, into conf/chosen/<experiment>.yaml.

    python -m experiments.choose [experiment …]

By default of every search that is finished.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

from experiments.chosen import Unfinished, choose, chosen_text
from experiments.collect import finished_by_question
from experiments.configurations import PROJECT
from experiments.plan import plan
from experiments.schema import CONF


def searches() -> dict[str, DictConfig]:
    """Give the experiments that are searches, with their configurations."""
    configs = PROJECT.experiments(PROJECT.names("experiment"))
    return {name: config for name, config in configs.items() if config.search.seeds}


def write_chosen(names: Iterable[str], tuning: Path, conf: Path) -> None:
    """Write what each search chose whose runs are finished in a table, and name the others.

    Raises:
        ValueError: an experiment that is no search.
    """
    finished, known = finished_by_question(tuning), searches()
    for name in names or known:
        if name not in known:
            raise ValueError(f"{name} is no search; the searches are {', '.join(known)}")
        search, jobs = known[name].search, plan([name])
        try:
            found = choose(name, jobs, finished, search.statistic.name)
        except Unfinished as lack:
            print(f"{name}: left alone, {lack}")
            continue
        path = conf / "chosen" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        metric, count = jobs[0].settings["metric"], len(search.seeds)
        path.write_text(chosen_text(name, found, metric, count, search.statistic.name))
        print(f"{path}: written")


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("experiments", nargs="*")
    parser.add_argument("--results", type=Path, default=Path("results"))
    given = parser.parse_args()
    try:
        write_chosen(given.experiments, given.results / "tuning", Path(CONF))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
