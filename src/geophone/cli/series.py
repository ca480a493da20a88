"""Verbs over one run: made of checkpoints, made of a table, or looked at."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geophone.cli.options import Json, Quiet, Ray, RunFolder, Table
from geophone.errors import InputError
from geophone.terminal.voice import Voice

if TYPE_CHECKING:
    from geophone.ingest.checkpoints import Measured
    from geophone.workers import Workers


def measure(
    checkpoints: Annotated[
        list[str], typer.Argument(help="Files or folders of checkpoints; with --revisions one model id or folder.")
    ],
    out: Annotated[Path, typer.Option(help="The run's folder; one that holds a part of this run goes on.")],
    probe: Annotated[
        str | None, typer.Option(help="A .npy, .npz, .pt or .safetensors file, or module:function.")
    ] = None,
    text: Annotated[Path | None, typer.Option(help="With --revisions: a text file that the probe is made of.")] = None,
    sequences: Annotated[int, typer.Option(min=2, help="Of --text: how many.")] = 64,
    length: Annotated[int, typer.Option(min=2, help="Of --text: tokens per sequence.")] = 256,
    model: Annotated[str | None, typer.Option(help="module:function that builds the network.")] = None,
    revisions: Annotated[
        str | None, typer.Option(help='Revisions of a Hugging Face model: names, a glob, "all", or "log" (spaced).')
    ] = None,
    key: Annotated[str | None, typer.Option(help="Where in a file the weights lie, such as ema.")] = None,
    step_pattern: Annotated[
        str | None, typer.Option(help="A regular expression whose group is the step in a name, such as 'it(\\d+)'.")
    ] = None,
    layers: Annotated[list[str] | None, typer.Option(help="Module path, canonical name or glob; several.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Rows of a layer with positions.")] = 1024,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples that go forward at a time; default: all, of --text 8.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of revisions: float32, bfloat16, float16.")] = "auto",
    evict: Annotated[
        str | None, typer.Option(help="Revisions fetched here leave a hub cache larger than that, such as 20GB.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Checkpoints at a time, a process each.")] = 1,
    ray: Ray = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a run of checkpoints that were saved earlier.

    With --text a language model's answers are scored too: the probability of the right next token. Run again, it goes
    on where it stopped. A checkpoint that cannot be read does not lose the others: it is named on stderr, and the exit
    status is 1. So is one with the weights of another step, which detection leaves out. Steps with NaN are named too.

    Example: geophone measure EleutherAI/pythia-14m --revisions log --text corpus.txt --out runs/pythia
    """
    _check_asked(probe=probe, text=text, revisions=revisions, model=model)
    from geophone.ingest import checkpoints as ingest
    from geophone.ingest import probes, sources
    from geophone.record.what import What

    if revisions:
        how = partial(sources.revisions, step_pattern=step_pattern, dtype=dtype, cache=_bytes(evict))
        source = how(checkpoints[0], revisions, task="base" if text is None else "causal-lm")
    else:
        source = sources.checkpoint_files(checkpoints, model or "", key=key, step_pattern=step_pattern)
    what, samples = What(layers=layers or None, rows=rows, batch=batch or (8 if text else None)), None
    if text is not None:
        tokenizer = probes.tokenizer_of(checkpoints[0], [name for _, name in source.keys])
        samples = probes.text_probe(text, tokenizer, samples=sequences, length=length)
        what = replace(what, labels="next-token", texts=probes.texts_by(tokenizer))
    samples = samples or probes.read_probe(probe or "")
    work = partial(ingest.measure, source, samples, out=out, what=what, workers=_several(workers, ray))
    _measured(partial(work, device=sources.device_of(device)), as_json=as_json, quiet=quiet)


def _bytes(said: str | None) -> int | None:
    """Raises InputError for what is no amount of memory."""
    if said is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(i?)B?", said.strip(), re.IGNORECASE)
    if not found:
        raise InputError(f"--evict {said!r} is no amount of memory; write it such as 20GB or 500 MiB.")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " "))


def _several(workers: int, ray: str | None) -> "Workers | None":
    from geophone.workers import Workers

    return Workers(workers, ray) if workers > 1 or ray else None


def _check_asked(*, probe: str | None, text: Path | None, revisions: str | None, model: str | None) -> None:
    """Raises InputError for what cannot be measured; nothing heavy is loaded before it is asked."""
    if probe is not None and text is not None:
        raise InputError("--probe and --text both say what the network is read on: give one of them.")
    if probe is None and text is None:
        raise InputError("say what the network is read on: --probe FILE, or with --revisions --text FILE.")
    if not (revisions or model):
        raise InputError("say how to build the network: --model module:function, or --revisions of a hub model.")
    if text is not None and not revisions:
        raise InputError("--text needs the tokenizer of a Hugging Face model: give it with --revisions.")


def _measured(work: "Callable[..., Measured]", *, as_json: bool, quiet: bool) -> None:
    """Do the work of `measure` with its progress shown, and say what came of it."""
    from geophone.terminal.health import nonfinite_words
    from geophone.terminal.progress import StageProgress

    with Voice(as_json=as_json, quiet=quiet) as voice:
        with StageProgress(quiet=quiet) as progress:
            measured = work(on_step=lambda step, of: progress.training("measure", step, of))
        there = f"{len(measured.steps)} checkpoints measured, {len(measured.skipped)} there already"
        failures = [{"checkpoint": key, "why": why} for key, why in measured.failures]
        voice.say(
            lambda: print(f"{measured.folder}: {there}"),
            lambda: {"folder": measured.folder, "measured": measured.steps, "skipped": measured.skipped,
                     "failures": failures, "misplaced": dict(measured.misplaced),
                     "nonfinite": dict(measured.nonfinite)},
        )  # fmt: skip
    if measured.nonfinite:
        print(nonfinite_words(dict(measured.nonfinite)), file=sys.stderr)
    for step, why in measured.misplaced:
        print(f"step {step} has weights that are not its own, and is left out of detection: {why}", file=sys.stderr)
    for key, why in measured.failures:
        print(f"left out {key}: {why}", file=sys.stderr)
    if measured.failures or measured.misplaced:
        raise typer.Exit(1)


def import_(
    file: Table,
    out: Annotated[Path, typer.Option(help="A new or empty folder for the run.")],
    dimension: Annotated[str | None, typer.Option(help="What was measured, where the table does not say.")] = None,
    step: Annotated[str | None, typer.Option(help="The column with the training step.")] = None,
    layer: Annotated[str | None, typer.Option(help="The column with the layer's name (long tables).")] = None,
    value: Annotated[str | None, typer.Option(help="The column with the value (long tables).")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a run of a series that was measured elsewhere.

    A long table has a row a value (step, layer, value), a wide one a row a step and a column a layer.

    Example: geophone import history.csv --dimension stable_rank --out runs/theirs
    """
    from geophone.ingest.tables import Columns, import_series
    from geophone.terminal.words import run_document, say_run

    columns = Columns(step=step, layer=layer, value=value)
    with Voice(as_json=as_json, quiet=quiet) as voice:
        run = import_series(file, out=out, dimension=dimension, columns=columns)
        voice.say(lambda: say_run(run), lambda: run_document(run))


def netron(
    run: RunFolder,
    export: Annotated[Path | None, typer.Option(help="Only write the network here, as ONNX.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On the loopback address; 0: any that is free.")] = 0,
) -> None:
    """Show the graph of a run's network in Netron.

    Served on this machine alone until Ctrl-C; needs geophone[netron].

    Example: geophone netron geophone-demo/runs/cnn_4_mnist-seed0 --export cnn.onnx
    """
    from geophone._open import open_run
    from geophone.integrations import netron as viewing

    opened = open_run(run)
    if export is not None:
        print(viewing.export_onnx(opened, export))
    else:
        viewing.serve(opened, port=port, say=print)


def export(
    run: RunFolder,
    to: Annotated[str, typer.Option(help="transformer_lens, nnsight or saelens.")],
    target: Annotated[int, typer.Option(min=1, help="The rank among the run's transitions.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the script here; default: on stdout.")] = None,
) -> None:
    """Hand a target on to the next tool, as a short script.

    For runs measured on revisions of a language model with --text: the script loads the revisions of before and after,
    names the hooks of the layers that moved, and holds the tokens of the samples that moved most.

    Example: geophone export runs/pythia --to transformer_lens --out look.py
    """
    from geophone._open import open_run
    from geophone.integrations import handing_on

    handing_on.check_tool(to)  # before what is wrong with the run, which may take long to find
    written = handing_on.script(handing_on.handed(open_run(run), target), to)
    if out is None:
        print(written, end="")
        return
    try:
        out.write_text(written, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}.") from error
