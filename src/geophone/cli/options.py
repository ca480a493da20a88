"""Arguments and options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

from geophone.errors import InputError


def _usable(folder: Path) -> Path:
    """Asked of the disk alone, so that what cannot be used is said before anything large is loaded."""
    from geophone.store.places import check_folder

    check_folder(folder)
    return folder


def _study(folder: Path) -> Path:
    from geophone.store.places import check_study

    check_study(folder)
    return folder


def _there(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file} is not there.")
    return file


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.", callback=_usable)]
StudyFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.", callback=_study)]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run that geophone trained.", callback=_usable)
]
Table = Annotated[Path, typer.Argument(help="A CSV or parquet table, long or wide.", callback=_there)]
Json = Annotated[
    bool, typer.Option("--json", help="The result as one JSON document on stdout, and nothing else there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no words: errors only.")]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Work on Ray: auto, local, or the address of a cluster.")
]


def _own(text: str) -> typer.models.OptionInfo:
    return typer.Option(metavar="MODULE:FUNCTION", help=text)


OwnModel = Annotated[str | None, _own("Of a run of your own loop: builds its network.")]
OwnData = Annotated[str | None, _own("Of a run of your own loop: gives (x, y).")]
OwnScore = Annotated[str | None, _own("How well (output, y) answers each sample; default: by what y is.")]
OwnWeights = Annotated[str | None, _own("The state dict after a step; default: what the run kept.")]
