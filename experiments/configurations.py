"""Where configurations lie: in conf/, and in folders of one's own beside it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from experiments.schema import CONF


@dataclass(frozen=True)
class Configurations:
    """Folders of configurations, laid out as conf/: what it lacks is looked for in ``beside``."""

    beside: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Give all folders, that of the project first."""
        return (Path(CONF), *self.beside)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Let configurations be composed; within a job of Hydra's they can be already."""
        if GlobalHydra.instance().is_initialized():
            yield
            return
        with initialize_config_dir(CONF, version_base="1.3"):
            yield

    def compose(self, overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
        """Compose the configuration of a run, while ``begun``."""
        paths = ",".join(f"'file://{folder.resolve()}'" for folder in self.beside)
        search = [f"hydra.searchpath=[{paths}]"] if self.beside else []
        return compose("train", [*overrides, *search], return_hydra_config=with_hydra)

    def experiments(self, names: Iterable[str]) -> dict[str, DictConfig]:
        """Compose experiments as their files say, each by its name."""
        with self.begun():
            return {name: self.compose([f"experiment={name}"]) for name in names}

    def names(self, group: str) -> list[str]:
        """Name the files of a group, such as ``experiment``."""
        tops = [folder / group for folder in self.folders]
        found = {path.relative_to(top) for top in tops for path in top.rglob("*.yaml")}
        return sorted(path.with_suffix("").as_posix() for path in found)

    def preset(self, name: str) -> list[str]:
        """Give the experiments of a preset.

        Raises:
            ValueError: an unknown preset, with the known ones.
        """
        path = self.find(f"preset/{name}.yaml")
        if path is None:
            known = ", ".join(self.names("preset"))
            raise ValueError(f"unknown preset {name!r}; the presets are {known}")
        return list(OmegaConf.load(path).experiments)

    def find(self, file: str) -> Path | None:
        """Give the path of a file, if any folder has it."""
        return next((top / file for top in self.folders if (top / file).exists()), None)

    def is_group(self, key: str) -> bool:
        """Tell whether a key chooses a file."""
        return any((folder / key).is_dir() for folder in self.folders)


PROJECT = Configurations()
"""Those of conf/ alone."""
