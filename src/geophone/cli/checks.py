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
    full: Annotated[bool, typer.Option("--full", help="The development seeds: choose the rivals anew.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Twenty fresh seeds per testbed.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
    ray: Ray = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test whether it points at the right moment.

    On networks whose events are clocked by other means, with the ranker and the rivals that the package has frozen: a
    small benchmark in minutes, or --confirm in hours. Writes runs, tables and index.html, and prints where to trust
    which signal.

    Example: geophone prove --out try-prove
    """
    from geophone import prove as ground
    from geophone.findings.lines import benchmark_lines
    from geophone.prove.trials import Crew
    from geophone.report.prove_page import write_prove_page
    from geophone.terminal.progress import StageProgress
    from geophone.terminal.words import prove_document, say_proof

    if full and confirm:
        raise InputError("--full chooses and --confirm tests what was chosen: give one of them.")
    if ray and not (full or confirm):
        raise InputError("--ray is for --full and --confirm; the short form runs here.")
    with Voice(as_json=as_json, quiet=quiet) as voice:
        with StageProgress(quiet=quiet) as progress:
            crew = Crew(workers, ray, progress.training)
            run = ground.confirm if confirm else ground.develop if full else ground.quick
            tables = run(out, crew)
        lines = benchmark_lines(tables)
        page = write_prove_page(tables, lines, out=out)
        voice.say(lambda: say_proof(lines, tables["trust"], page), lambda: prove_document(out, tables, lines, page))


def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A study or a run to check, or where one would be.")
    ] = Path("."),
    imports: Annotated[bool, typer.Option("--imports", help="Import every part of the core; takes seconds.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what is installed, what is missing, and what it takes.

    Python, torch and its device, every part and extra, cores, memory, disk, and a browser for the tests; of the runs in
    DIR whether their files are those that were written, which layers have a canonical name, which were left out and
    why, and at which steps some held NaN or infinity. Exit status 0 if the core and the runs are whole, 1 otherwise.

    Example: geophone doctor geophone-demo
    """
    from geophone.doctor import examine
    from geophone.terminal.health import health_document, say_health

    with Voice(as_json=as_json, quiet=quiet) as voice:
        found = examine(folder, imports=imports)
        voice.say(lambda: say_health(found), lambda: health_document(found))
    if not found.whole:
        raise typer.Exit(1)
