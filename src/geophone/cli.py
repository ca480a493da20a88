"""The command line: one verb a stage, each a few lines over the library."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from geophone.errors import GeophoneError

app = typer.Typer(
    name="geophone",
    help="Listens to a network's layers while it trains and says where to dig.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder.")]


def main() -> None:
    """Entry point: what is the caller's to mend ends in one sentence on stderr and exit status 2."""
    try:
        app()
    except GeophoneError as error:
        print(f"geophone: {error}", file=sys.stderr)
        sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"geophone {version('geophone')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    pass


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="A new or empty folder for the study.")] = Path("geophone-demo"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each network; measured every 5.")] = 2000,
) -> None:
    """Train an MLP, a CNN and a transformer on MNIST digits, and go the whole way to the page.

    About three minutes on two cores. Example: geophone demo --out try --steps 500
    """
    from geophone import study as stages
    from geophone.terminal import StageProgress, say_summary

    with StageProgress() as progress:
        made = stages.train_stage(out, stages.DEMO, steps=steps, on_step=progress.training)
        tables = progress.stage("detect", lambda tick: stages.detect_stage(made, on_run=tick), total=len(made))
        ranked = progress.stage("targets", lambda tick: stages.target_stage(made))
        page = progress.stage("report", lambda tick: stages.report_stage(made))
    say_summary(made, jumps=tables["jumps"], targets=ranked, page=page)


@app.command()
def detect(folder: Folder) -> None:
    """Find phenomena in the series of a study: stabilisation, convergence order, jumps, critical periods.

    Writes phenomena/*.parquet. Example: geophone detect geophone-demo
    """
    from geophone import study as stages
    from geophone.terminal import say_phenomena

    say_phenomena(stages.detect_stage(stages.open_study(folder)))


@app.command()
def targets(folder: Folder) -> None:
    """Rank where to dig, with the reason and a matched control; needs `geophone detect` first.

    Writes targets.parquet. Example: geophone targets geophone-demo
    """
    from geophone import study as stages
    from geophone.terminal import say_targets

    say_targets(stages.target_stage(stages.open_study(folder)), most=20)


@app.command()
def report(folder: Folder) -> None:
    """Write the page, report/index.html: one file that opens from disk without a network.

    Needs `geophone targets` first. Example: geophone report geophone-demo
    """
    from geophone import study as stages

    print(stages.report_stage(stages.open_study(folder)))
