"""Verbs over a study: one stage each, and questions to it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geophone.cli.options import Folder, Json, OwnData, OwnModel, OwnScore, OwnWeights, Quiet, Ray, StudyFolder
from geophone.errors import InputError
from geophone.terminal.voice import Voice

if TYPE_CHECKING:
    from pandas import DataFrame

    from geophone.store.run import Run
    from geophone.store.study import Study
    from geophone.study.options import DigSettings


def detect(folder: StudyFolder, as_json: Json = False, quiet: Quiet = False) -> None:
    """Find when layers settle, in which order, and where they jump.

    Stabilisation, convergence order, jumps and critical periods of every run and dimension, naive form beside
    calibrated form, each beside what chance alone yields. Writes phenomena/*.parquet.

    Example: geophone detect geophone-demo
    """
    from geophone import study as stages
    from geophone.study.options import stage_settings
    from geophone.terminal.progress import StageProgress

    with Voice(as_json=as_json, quiet=quiet) as voice:
        study, options = stages.open_study(folder), stage_settings(folder).detect
        with StageProgress(quiet=quiet) as progress:
            tables = stages.detect_stage(study, options, on_progress=progress.training)
        from geophone.terminal.words import phenomena_document, say_phenomena

        voice.say(lambda: say_phenomena(study, tables), lambda: phenomena_document(study, tables))


def targets(
    folder: Folder,
    top: Annotated[int | None, typer.Option(min=1, help="At most so many; default: 20 on the terminal.")] = None,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Those of one run.")] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="learned, lost, concept, hidden, shock, transient (or jump).")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="METHOD", help="transitions, or the jumps of naive, calibrated, pelt, online.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rank where to dig: what was learned, when, on what, where.

    Also what was lost or reorganised inside; each with its reason and a control on both sides. Writes targets.parquet
    of a study; of one run it only shows them. Only --method naive and its like need `geophone detect` first. --json
    gives all.

    Example: geophone targets geophone-demo --kind learned --top 5
    """
    from geophone import study as stages
    from geophone.point.study import METHODS, those
    from geophone.study.options import stage_settings
    from geophone.terminal.words import say_targets

    with Voice(as_json=as_json, quiet=quiet) as voice:
        options = stage_settings(folder).target
        if method is not None:
            if method not in METHODS:
                raise InputError(f"--method {method!r}: give one of {', '.join(METHODS)}.")
            options = options.model_copy(update={"method": method})
        table = those(stages.target_stage(folder, options), run=run, kind=kind, top=None)
        voice.say(
            lambda: say_targets(table, most=top or 20),  # which counts all that there are
            lambda: {"folder": folder, "targets": those(table, run=None, kind=None, top=top)},
        )


def dig(
    folder: Folder,
    target: Annotated[int | None, typer.Option(min=1, help="The rank of one target; default: a selection.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every target.")] = False,
    units: Annotated[
        str | None, typer.Option(metavar="0,3,7", help="With --target: show these units, not 20 at random.")
    ] = None,
    recovery: Annotated[
        bool, typer.Option("--recovery", help="Also ablate, train on and compare: minutes more.")
    ] = False,
    naive: Annotated[
        bool, typer.Option("--naive", help="Ten images a class, as in the founding document, not 200.")
    ] = False,
    seed_mode: Annotated[bool, typer.Option("--seed-mode", hidden=True, help="What 0.1 called --naive.")] = False,
    model: OwnModel = None,
    data: OwnData = None,
    score: OwnScore = None,
    weights: OwnWeights = None,
    workers: Annotated[int, typer.Option(min=1, help="Digs at a time.")] = 2,
    ray: Ray = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at what units do before, during and after a target.

    And at its control. DIR is a study, or one run in its runs/, of which --target counts its own; a study that has no
    targets yet is ranked first. A run of your own loop wants --model and --data too. Writes digs/TARGET/ with tables,
    pictures and notes.md; what is dug already is left alone.

    Example: geophone dig geophone-demo --target 1
    """
    from geophone.study.digging import dig_stage, options_of
    from geophone.study.options import stage_settings
    from geophone.terminal.progress import StageProgress
    from geophone.terminal.words import digs_document, say_digs
    from geophone.workers import Workers

    if units is not None and target is None:
        raise InputError("--units are those of one layer: give --target with it.")
    parts = {"model": model, "data": data, "score": score, "weights": weights}
    subject = {part: name for part, name in parts.items() if name is not None} or None
    with Voice(as_json=as_json, quiet=quiet) as voice:
        study, run = _ranked(folder)
        settings = stage_settings(study.folder).dig
        settings = settings.model_copy(
            update={"recovery": recovery or settings.recovery, "every": every or settings.every}
        )
        options = options_of(settings)
        options = options if units is None else replace(options, units=_numbers(units))
        options = replace(options, per_class=10) if naive or seed_mode else options
        chosen = _chosen(study, settings, target, run)
        with StageProgress(quiet=quiet) as progress:
            digs = dig_stage(
                study, options, chosen, subject=subject, workers=Workers(workers, ray), on_progress=progress.training
            )
        voice.say(lambda: say_digs(digs), lambda: digs_document(folder, digs))


def _ranked(folder: Path) -> "tuple[Study, Run | None]":
    """The study that is in `folder`, or that of the run in it, ranked; and the run."""
    from geophone import study as stages
    from geophone._open import open as open_folder
    from geophone.dig.run import study_of
    from geophone.store.run import Run
    from geophone.study.options import stage_settings

    place = open_folder(folder)
    study, run = (study_of(place), place) if isinstance(place, Run) else (place, None)
    if not study.is_ranked:
        stages.target_stage(study.folder, stage_settings(study.folder).target)
    return study, run


def _chosen(study: "Study", settings: "DigSettings", target: int | None, run: "Run | None") -> "DataFrame":
    """A target that the study file selects is dug as it says; any other by its rank. With `run` those of that run, the
    number among its own."""
    from geophone.dig.run import target_of
    from geophone.dig.select import selected
    from geophone.study.digging import chosen_targets

    chosen = chosen_targets(study, settings)
    if run is not None and target is not None:
        target = target_of(run, target).rank
    chosen = chosen if target is None or chosen.empty else chosen[chosen["rank"] == target]
    chosen = selected(study, every=settings.every, number=target) if chosen.empty else chosen
    return chosen if run is None else chosen[chosen["run"] == run.name]


def _numbers(units: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in units.split(","))
    except ValueError as error:
        raise InputError(f"--units {units!r}: give numbers from 0 with commas between, such as 0,3,7.") from error


def evidence(
    folder: StudyFolder,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Where the tests' randomness comes from; default: as in the study file.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put what was dug into one table and test it.

    Needs `geophone dig` first. Writes evidence.parquet, evidence.csv and statistics.json; --json prints the latter.

    Example: geophone evidence geophone-demo
    """
    from geophone.findings.lines import evidence_lines
    from geophone.study import evidence_stage, open_study
    from geophone.study.options import stage_settings
    from geophone.terminal.show import say

    with Voice(as_json=as_json, quiet=quiet) as voice:
        options = stage_settings(folder).evidence
        found = evidence_stage(
            open_study(folder), options if seed is None else options.model_copy(update={"seed": seed})
        )
        voice.say(lambda: say(evidence_lines(found)), lambda: found)


def report(
    folder: StudyFolder,
    live: Annotated[bool, typer.Option("--live", help="Serve it, and follow a running study, until Ctrl-C.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of --live, on the loopback address; 0: any that is free.")
    ] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the page, report/index.html.

    It opens from disk, without a network. Needs `geophone detect` and `geophone targets` first. With --live it is
    served on this machine alone, and is written again while the study goes on.

    Example: geophone report geophone-demo
    """
    from geophone import study as stages

    if live:
        if as_json:
            raise InputError("--live serves until Ctrl-C and has no result: leave out --json.")
        from geophone.report.live import from_afar, serve

        serve(
            folder,
            port=port,
            on_ready=lambda url: print(f"The page: {url} (Ctrl-C ends it)\n{from_afar(url)}", flush=True),
            on_trouble=lambda said: print(f"geophone: {said}", file=sys.stderr),
        )
        return
    with Voice(as_json=as_json, quiet=quiet) as voice:
        page = stages.report_stage(stages.open_study(folder))
        voice.say(lambda: print(page), lambda: {"folder": folder, "page": page})


def paper(
    folder: StudyFolder,
    prove: Annotated[
        Path | None, typer.Option(help="The folder of a `geophone prove`; default: prove/ in the study, if there.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the study's paper from its own numbers.

    Needs `geophone evidence` first. Writes paper/paper.pdf and the files that it is set from: findings.json, figures
    and paper.typ. A finding that the study does not have fails the build, and is named.

    Example: geophone paper geophone-demo
    """
    from geophone.study import open_study

    with Voice(as_json=as_json, quiet=quiet) as voice:
        study = open_study(folder)
        from geophone.paper import write_paper

        made = write_paper(study, prove=prove)
        voice.say(lambda: print(made), lambda: {"folder": folder, "paper": made})


def sql(
    folder: StudyFolder,
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="One question; without it, the tables there are.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="The answer as CSV.")] = False,
    rows: Annotated[int, typer.Option(min=1, help="Rows to show; --csv and --json give all.")] = 100,
    as_json: Json = False,
) -> None:
    """Ask a question in SQL, over all runs of a study.

    Tables: runs, layers, series, scalars, targets, evidence, jumps, convergence_order and the other phenomena, and of
    digs moments, units ... DuckDB's dialect. Nothing on disk is read but the study, and nothing is written.

    Example: geophone sql geophone-demo "SELECT run, max(stable_rank) FROM series GROUP BY run"
    """
    from geophone.store import sql as asking
    from geophone.study import open_study
    from geophone.terminal.words import say_rows, say_tables

    if csv and as_json:
        raise InputError("--csv and --json are two forms of one answer: give one of them.")

    def words(answer: "DataFrame") -> None:
        if csv:
            print(answer.to_csv(index=False), end="")
        elif query:
            say_rows(answer, most=rows)
        else:
            say_tables(answer)

    with Voice(as_json=as_json) as voice:
        study = open_study(folder)
        answer = asking.query(study, query) if query else asking.listing(study)
        voice.say(lambda: words(answer), lambda: {"columns": list(answer.columns), "rows": answer})
