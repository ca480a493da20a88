"""Verbs that look at the instrument itself: does it point right, and is it whole."""

from pathlib import Path
from typing import Annotated

import typer

from geophone.cli.options import Json, Quiet, Ray
from geophone.errors import InputError
from geophone.terminal.voice import Voice


def prove(
    out: Annotated[Path, typer.Option(help="A folder for its runs and tables; gone on with if it is there.")] = Path(
        "geophone-prove"
    ),
    full: Annotated[bool, typer.Option("--full", help="The development seeds: choose, and write frozen.json.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Twenty fresh seeds a testbed, frozen methods.")] = False,
    frozen: Annotated[Path, typer.Option(help="The frozen choice.")] = Path("results/prove/frozen.json"),
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
    ray: Ray = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test whether it points at the right moment.

    On networks whose events are clocked by other means. A small benchmark takes minutes; --full and --confirm take
    about an hour each. Writes runs, tables and index.html.

    Example: geophone prove --out try-prove
    """
    from geophone import prove as ground
    from geophone.findings.lines import benchmark_lines
    from geophone.report.prove_page import write_prove_page
    from geophone.terminal.progress import StageProgress
    from geophone.terminal.show import say
    from geophone.terminal.words import prove_document

    if full and confirm:
        raise InputError("--full chooses and --confirm tests what was chosen: give one of them.")
    if ray and not (full or confirm):
        raise InputError("--ray is for --full and --confirm; the short form runs here.")
    with Voice(as_json=as_json, quiet=quiet) as voice:
        with StageProgress(quiet=quiet) as progress:
            told = {"workers": workers, "on_progress": progress.training}
            if confirm:
                tables = ground.confirm(out, frozen=frozen, ray=ray, **told)
            elif full:
                tables = ground.develop(out, ray=ray, **told)
            else:
                tables = ground.quick(out, frozen=frozen if frozen.is_file() else None, **told)
        lines = benchmark_lines(tables)
        page = write_prove_page(tables, lines, out=out)
        voice.say(lambda: say([*lines, "", f"The page: {page}"]), lambda: prove_document(out, tables, lines, page))


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where a study would be written.")] = Path("."),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what is installed, what is missing, and what it takes.

    Python, torch and its device, every part and extra, cores, memory, disk, and a browser for the tests. Exit status 0
    if the core is whole, 1 otherwise.

    Example: geophone doctor
    """
    from geophone.doctor import examine
    from geophone.terminal.words import health_document, say_health

    with Voice(as_json=as_json, quiet=quiet) as voice:
        found = examine(folder)
        voice.say(lambda: say_health(found), lambda: health_document(found))
    if not found.whole:
        raise typer.Exit(1)
