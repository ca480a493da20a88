"""Arguments and options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.")]
Json = Annotated[
    bool, typer.Option("--json", help="The result as one JSON document on stdout, and nothing else there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no words: errors only.")]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Work on Ray: auto, local, or the address of a cluster.")
]
