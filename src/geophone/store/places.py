"""Where everything in a study's folder lies: the one place that spells a path of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geophone.store.formats import FORMER

DIG = "dig.json"


@dataclass(frozen=True, slots=True)
class Places:
    """The paths in the study at `folder`, whether or not there is anything there yet."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def forks(self) -> Path:
        """Replicates of runs: forks/RUN/REPLICATE/."""
        return self.folder / "forks"

    @property
    def settings(self) -> Path:
        """The study file, as its author wrote it."""
        return self.folder / "study.toml"

    @property
    def stages(self) -> Path:
        """What each stage was last made of."""
        return self.folder / "stages.json"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def targets(self) -> Path:
        return self.table("targets")

    @property
    def evidence(self) -> Path:
        return self.table("evidence")

    @property
    def evidence_csv(self) -> Path:
        return self.folder / "evidence.csv"

    @property
    def statistics(self) -> Path:
        return self.folder / "statistics.json"

    @property
    def digs(self) -> Path:
        return self.folder / "digs"

    @property
    def report(self) -> Path:
        return self.folder / "report"

    @property
    def page(self) -> Path:
        """The first page of the report."""
        return self.report / "index.html"

    @property
    def paper(self) -> Path:
        return self.folder / "paper"

    @property
    def prove(self) -> Path:
        """Tables of the proving ground, where the study has them."""
        return self.folder / "prove"

    def table(self, name: str) -> Path:
        """The table `name`, such as "targets" or "phenomena/jumps"."""
        return self.folder / f"{name}.parquet"

    def phenomenon(self, kind: str) -> Path:
        """The table of one kind of phase 1; under its former name where only that is there."""
        path = self.table(f"phenomena/{kind}")
        former = self.table(f"phenomena/{FORMER[kind]}") if kind in FORMER else path
        return former if former.is_file() and not path.is_file() else path

    @property
    def phenomena(self) -> dict[str, Path]:
        """The tables of phase 1 that are there, by kind."""
        names = {former: kind for kind, former in FORMER.items()}
        paths = sorted((self.folder / "phenomena").glob("[!.]*.parquet"))
        return {names.get(path.stem, path.stem): path for path in paths}

    def dig(self, target: str) -> Path:
        """The folder of the dig of the target of that name."""
        return self.digs / target

    def finished_digs(self) -> Iterator[Path]:
        """The folders of digs that are whole, by name."""
        return (path.parent for path in sorted(self.digs.glob(f"[!.]*/{DIG}")))

    @property
    def shown(self) -> list[Path]:
        """Every file that a page of the study is made of."""
        patterns = ("runs/*/run.json", "runs/*/series/*", "runs/*/scalars/*", "digs/*/*", "prove/*.csv")
        files = [path for pattern in patterns for path in self.folder.glob(pattern) if not path.name.startswith(".")]
        return [*files, *self.phenomena.values(), self.targets, self.statistics]
