"""Where everything in a study's folder lies: the one place that spells a path of it."""

from collections.abc import Iterator
from pathlib import Path

from geophone.errors import InputError, StoreError
from geophone.store.formats import FORMER

RUN, DIG = "run.json", "dig.json"  # in the folder of a run, or of a dig
SAMPLES, TOKENS = "behaviour/samples.parquet", "behaviour/tokens.parquet"
CENSUS = "census.json"
_SHOWN = (f"runs/*/{RUN}", "runs/*/series/*", "runs/*/scalars/*", "digs/*/*", "prove/*.csv")


def is_run(folder: Path) -> bool:
    return (folder / RUN).is_file()


def check_folder(folder: Path) -> None:
    """Raises StoreError unless `folder` holds a run or a study."""
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder.")
    if not is_run(folder) and not (folder / "runs").is_dir():
        raise StoreError(f"{folder} holds neither a run ({RUN}) nor a study (runs/).")


def check_study(folder: Path) -> None:
    """The same for a study. Raises InputError when it is a single run."""
    check_folder(folder)
    if is_run(folder):
        raise InputError(f"{folder} holds one run, not a study; a study keeps its runs in runs/.")


class Places:
    """The paths in the study at `folder`, whether or not there is anything there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.forks = folder / "forks"  # forks/RUN/REPLICATE/
        self.settings = folder / "study.toml"  # as its author wrote it
        self.stages = folder / "stages.json"  # what each stage was last made of
        self.logs = folder / "logs"
        self.targets = self.table("targets")
        self.digs = folder / "digs"
        self.censuses = folder / "census"  # census/RUN/
        self.evidence = self.table("evidence")
        self.windows = self.table("windows")
        self.evidence_csv = folder / "evidence.csv"
        self.statistics = folder / "statistics.json"
        self.report = folder / "report"
        self.page = self.report / "index.html"
        self.paper = folder / "paper"
        self.prove = folder / "prove"  # tables of the proving ground, where the study has them

    def table(self, name: str) -> Path:
        """The table `name`, such as "targets" or "phenomena/jumps"."""
        return self.folder / f"{name}.parquet"

    def phenomenon(self, kind: str) -> Path:
        """The table of one kind of phenomena; under its former name where only that is there."""
        path, former = self.table(f"phenomena/{kind}"), self.table(f"phenomena/{FORMER.get(kind, kind)}")
        return former if former.is_file() and not path.is_file() else path

    @property
    def phenomena(self) -> dict[str, Path]:
        """The tables of phenomena that are there, by kind."""
        kinds = {former: kind for kind, former in FORMER.items()}
        paths = sorted((self.folder / "phenomena").glob("[!.]*.parquet"))
        return {kinds.get(path.stem, path.stem): path for path in paths}

    def dig(self, target: str) -> Path:
        """The folder of the dig of the target of that name."""
        return self.digs / target

    def finished_digs(self) -> Iterator[Path]:
        """The folders of digs that are whole, by name."""
        return (path.parent for path in sorted(self.digs.glob(f"[!.]*/{DIG}")))

    @property
    def shown(self) -> list[Path]:
        """Every file that a page of the study is made of."""
        files = [path for pattern in _SHOWN for path in self.folder.glob(pattern) if not path.name.startswith(".")]
        return [*files, *self.phenomena.values(), self.targets, self.statistics]
