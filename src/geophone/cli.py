"""The command line: one verb a stage, each a few lines over the library."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from geophone.errors import GeophoneError, InputError

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

    About five minutes on two cores. Example: geophone demo --out try --steps 500
    """
    from geophone import study as stages
    from geophone.terminal import StudyProgress, say_summary

    text = stages.DEMO.replace("steps = 2000", f"steps = {steps}")
    with StudyProgress() as progress:
        made = stages.run_study(stages.parse_study(text, where="the demo"), text, out, listener=progress)
    say_summary(made)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    out: Annotated[Path | None, typer.Option(help="The study's folder; default: the name in the file.")] = None,
    until: Annotated[
        str | None, typer.Option(help="The last stage: train, detect, target, dig, evidence, report.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Do this one stage, even if nothing has changed.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores / threads.")] = None,
    ray: Annotated[str | None, typer.Option(help="Train on Ray: auto, local, or the address of a cluster.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs that a run asks Ray for.")] = 0.0,
) -> None:
    """Do a whole study; run again, it goes on where it stopped and skips what has not changed.

    Example: geophone run studies/catalogue.toml --until detect
    """
    from geophone import study as stages
    from geophone.terminal import StudyProgress

    read, text = stages.read_study_file(study)
    engine = stages.Engine(workers=workers, ray=ray, gpus=gpus)
    with StudyProgress() as progress:
        made = stages.run_study(
            read, text, out or Path(read.name), until=until, only=only, engine=engine, listener=progress
        )
    print(f"{made.folder}: {len(made)} runs")


@app.command()
def measure(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Files or folders of checkpoints; with --revisions one model id or folder.")
    ],
    probe: Annotated[str, typer.Option(help="A .npy, .npz, .pt or .safetensors file, or module:function.")],
    out: Annotated[Path, typer.Option(help="The run's folder; one that holds a part of this run goes on.")],
    model: Annotated[str | None, typer.Option(help="module:function that builds the network.")] = None,
    revisions: Annotated[str | None, typer.Option(help="Revisions of a Hugging Face model, comma-separated.")] = None,
    layers: Annotated[list[str] | None, typer.Option(help="Module path or glob; may be repeated.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Rows of a layer with positions.")] = 1024,
) -> None:
    """Make a run of checkpoints that were saved earlier; run again, it goes on where it stopped.

    One that cannot be read does not lose the others: it is named on stderr, and the exit status is 1.
    Example: geophone measure checkpoints/ --model mynets:build --probe probe.npy --out runs/old
    """
    from geophone import measure as measuring
    from geophone.terminal import StageProgress, say_measured

    if revisions:
        source = measuring.revisions(checkpoints[0], revisions.split(","))
    elif model:
        source = measuring.checkpoint_files(checkpoints, model)
    else:
        raise InputError("say how to build the network: --model module:function, or --revisions of a hub model.")
    with StageProgress() as progress:
        done = measuring.measure(
            source, measuring.read_probe(probe), out=out, layers=layers or None, rows=rows,
            on_step=lambda step, of: progress.training("measure", step, of),
        )  # fmt: skip
    say_measured(done)
    if done.failures:
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV or parquet table, long or wide.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder for the run.")],
    dimension: Annotated[str | None, typer.Option(help="What was measured, where the table does not say.")] = None,
    step: Annotated[str | None, typer.Option(help="The column with the training step.")] = None,
    layer: Annotated[str | None, typer.Option(help="The column with the layer's name (long tables).")] = None,
    value: Annotated[str | None, typer.Option(help="The column with the value (long tables).")] = None,
) -> None:
    """Make a run of a series that was measured elsewhere.

    Example: geophone import history.csv --dimension stable_rank --out runs/theirs
    """
    from geophone.imports import Columns, import_series

    columns = Columns(step=step, layer=layer, value=value)
    run = import_series(file, out=out, dimension=dimension, columns=columns)
    print(f"{run.folder}: {len(run.layers)} layers x {run.manifest.measurements} steps of {', '.join(run.dimensions)}")


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
def dig(
    folder: Folder,
    target: Annotated[int | None, typer.Option(min=1, help="The rank of one target; default: a selection.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every target.")] = False,
    recovery: Annotated[
        bool, typer.Option("--recovery", help="Also ablate, train on and compare: minutes more.")
    ] = False,
    seed_mode: Annotated[
        bool, typer.Option("--seed-mode", help="Ten images a class, as in the founding document, not 200.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Digs at a time.")] = 2,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Dig on Ray: auto, local, or an address.")] = None,
) -> None:
    """Look at what units do before, during and after a target, and at its control; needs `geophone targets` first.

    Writes digs/TARGET/ with tables, pictures and notes.md; what is dug already is left alone.
    Example: geophone dig geophone-demo --target 1
    """
    from geophone.dig.run import DigOptions
    from geophone.dig.select import selected
    from geophone.study import open_study
    from geophone.study.digging import dig_stage
    from geophone.terminal import StageProgress, say_digs

    study = open_study(folder)
    options = DigOptions(per_class=10 if seed_mode else 200, recovery=recovery)
    chosen = selected(study, every=every, number=target)
    with StageProgress() as progress:
        say_digs(dig_stage(study, options, chosen, workers=workers, ray=ray, on_progress=progress.training))


@app.command()
def evidence(
    folder: Folder, seed: Annotated[int, typer.Option(min=0, help="Where the tests' randomness comes from.")] = 0
) -> None:
    """Put what was dug into one table and test it; needs `geophone dig` first.

    Writes evidence.parquet, evidence.csv and statistics.json. Example: geophone evidence geophone-demo
    """
    from geophone.evidence import said
    from geophone.study import evidence_stage, open_study
    from geophone.study.file import EvidenceOptions

    print("\n".join(said(evidence_stage(open_study(folder), EvidenceOptions(seed=seed)))))


@app.command()
def prove(
    out: Annotated[Path, typer.Option(help="A folder for its runs and tables; gone on with if it is there.")] = Path(
        "geophone-prove"
    ),
    full: Annotated[bool, typer.Option("--full", help="The development seeds: choose, and write frozen.json.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Twenty fresh seeds a testbed, frozen methods.")] = False,
    frozen: Annotated[Path, typer.Option(help="The frozen choice.")] = Path("results/prove/frozen.json"),
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Train on Ray: auto, local, or an address.")
    ] = None,
) -> None:
    """Does it point at the right moment? A small benchmark in minutes; --full and --confirm take about an hour each.

    Writes runs, tables and index.html. Example: geophone prove --out try-prove
    """
    from geophone import prove as ground
    from geophone.report.prove_page import write_prove_page
    from geophone.terminal import StageProgress

    if full and confirm:
        raise InputError("--full chooses and --confirm tests what was chosen: give one of them.")
    with StageProgress() as progress:
        told = {"workers": workers, "on_progress": progress.training}
        if confirm:
            tables = ground.confirm(out, frozen=frozen, ray=ray, **told)
        elif full:
            tables = ground.develop(out, ray=ray, **told)
        else:
            tables = ground.quick(out, frozen=frozen if frozen.is_file() else None, **told)
    said = ground.said(tables)
    print("\n".join(said))
    print(f"\nThe page: {write_prove_page(tables, said, out=out)}")


@app.command()
def netron(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that geophone trained.")],
    export: Annotated[Path | None, typer.Option(help="Only write the network here, as ONNX.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On the loopback address; 0: any that is free.")] = 0,
) -> None:
    """Show the graph of a run's network in Netron, served on this machine alone; needs geophone[netron].

    Example: geophone netron geophone-demo/runs/cnn_4_mnist-seed0 --export cnn.onnx
    """
    from geophone import opening
    from geophone.integrations import netron as viewing

    opened = opening.open(run)
    if export is not None:
        print(viewing.export_onnx(opened, export))
    else:
        viewing.serve(opened, port=port, say=print)


@app.command()
def report(folder: Folder) -> None:
    """Write the page, report/index.html: one file that opens from disk without a network.

    Needs `geophone targets` first. Example: geophone report geophone-demo
    """
    from geophone import study as stages

    print(stages.report_stage(stages.open_study(folder)))
