"""Verbs that go the whole way."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geophone.cli.options import Json, Quiet, Ray
from geophone.terminal.voice import Voice

if TYPE_CHECKING:
    from geophone.store.study import Study


def demo(
    out: Annotated[Path, typer.Option(help="A new or empty folder for the study.")] = Path("geophone-demo"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each network; measured every 5.")] = 1000,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Four small networks, all the way from training to the page.

    Trains a transformer that learns to copy, and an MLP, a CNN and a vision transformer on handwritten digits, measures
    every layer every 5 steps, detects, ranks targets, digs at them, tests what was dug and writes report/index.html.
    Three minutes on two cores; nothing is downloaded. Stopped, it goes on when it is given again.

    Example: geophone demo --out try --steps 500
    """
    from geophone import study as stages
    from geophone.terminal.progress import StudyProgress

    text = stages.DEMO.replace("steps = 1000", f"steps = {steps}")
    with Voice(as_json=as_json, quiet=quiet) as voice:
        with StudyProgress(quiet=quiet) as progress:
            made = stages.run_study(
                stages.parse_study(text, where="the demo"), text, out, until="report", listener=progress
            )
        _say(voice, made)


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder; default: the name in the file.")] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="The last stage: train, detect, target, dig, evidence, report or paper; default: all of them."
        ),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Do this one stage, even if nothing has changed.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores / threads.")] = None,
    ray: Ray = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs that a run asks Ray for.")] = 0.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do a whole study; run again, it goes on where it stopped.

    What has not changed is skipped. The study file says which networks, seeds and steps; see docs/study.md.

    Example: geophone run studies/catalogue.toml --until detect
    """
    from geophone import study as stages

    read, text = stages.read_study_file(study)
    hands = stages.Workers(workers, ray, gpus)
    from geophone.terminal.progress import StudyProgress

    with Voice(as_json=as_json, quiet=quiet) as voice:
        with StudyProgress(quiet=quiet) as progress:
            made = stages.run_study(
                read, text, out or Path(read.name), until=until, only=only, workers=hands, listener=progress
            )
        _say(voice, made)


def _say(voice: Voice, study: "Study") -> None:
    from geophone.terminal.words import say_summary, summary_document

    voice.say(lambda: say_summary(study), lambda: summary_document(study))
