"""The command line: one verb a stage, each a few lines over the library.

Exit status 0: done. 1: done, but something failed and is named on stderr. 2: the input is not usable, in one sentence
on stderr. 130: stopped by Ctrl-C.
"""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from geophone.cli.checks import doctor, prove
from geophone.cli.series import export, import_, measure, netron
from geophone.cli.stages import detect, dig, evidence, paper, report, sql, targets
from geophone.cli.whole import demo, run
from geophone.errors import GeophoneError, PartlyDone

INPUT, PARTLY, STOPPED = 2, 1, 130
VERBS: dict[str, Callable[..., None]] = {
    "demo": demo, "run": run, "measure": measure, "import": import_,
    "detect": detect, "targets": targets, "dig": dig, "evidence": evidence, "report": report, "paper": paper,
    "sql": sql, "prove": prove, "export": export, "netron": netron, "doctor": doctor,
}  # fmt: skip

app = typer.Typer(
    name="geophone",
    help="Listens to a network's layers while it trains and says where to dig.",
    epilog=(
        "Exit status: 0, done; 1, done but something failed, which stderr names; 2, the input is not usable, and one "
        "sentence on stderr says why; 130, stopped by Ctrl-C. Example: geophone demo --out try --steps 500"
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point: what is the caller's to mend ends in one sentence on stderr and never in a traceback."""
    try:
        app()
    except GeophoneError as error:
        print(f"geophone: {error}", file=sys.stderr)
        sys.exit(PARTLY if isinstance(error, PartlyDone) else INPUT)
    except SystemExit as end:
        if end.code == STOPPED:
            print("geophone: stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        raise


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"geophone {version('geophone')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which release this is.")
    ] = False,
) -> None:
    pass


for _name, _verb in VERBS.items():
    app.command(_name)(_verb)
