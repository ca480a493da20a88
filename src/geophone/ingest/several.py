"""Several checkpoints at a time: a process for each stretch of them, and the tables of one process."""

import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from geophone.errors import InputError, StoreError
from geophone.ingest.sources import Source
from geophone.record.probe import Probe
from geophone.record.what import What
from geophone.store.run import Run
from geophone.store.tables import parts, read_table, replace_file, write_table
from geophone.store.writer import KINDS, RunWriter
from geophone.workers import Job, Outcome, Workers, cores

Pair = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Share:
    """What is measured in one process: the checkpoints `keys`, into a run of their own in `folder`. The first of them
    are compared with those `before`; `first` is the checkpoint that the network is built of."""

    folder: Path
    keys: tuple[Pair, ...]
    before: tuple[Pair, ...]
    first: str

    @property
    def said(self) -> Path:
        """Where the process says, as JSON, which checkpoints it could not read."""
        return self.folder.with_suffix(".json")


def stretches(todo: Sequence[Pair], kept: Sequence[Pair], *, count: int, first: str, folder: Path) -> list[Share]:
    """`todo`, in order, in `count` stretches of nearly the same length, or fewer where there are fewer checkpoints."""
    count = min(count, len(todo))
    cuts = [round(i * len(todo) / count) for i in range(count + 1)]
    return [
        Share(folder / f"{todo[a][0]}-{todo[b - 1][0]}", tuple(todo[a:b]), (*kept, *todo[:a]), first)
        for a, b in itertools.pairwise(cuts)
    ]


def in_stretches(
    workers: Workers,
    these: Sequence[Share],
    source: Source,
    probe: Probe,
    what: What,
    *,
    device: str | torch.device | None,
    on_step: Callable[[int, int], None],
) -> dict[str, str]:
    """Measure every stretch, each in a process, and return the checkpoints that could not be read, each with the
    reason. Stretches that were begun go on. Raises InputError for what a process could not do at all."""
    where = these[0].folder.parent
    for left in where.iterdir() if where.is_dir() else ():
        # Of a division that is not this one, as after more checkpoints have come.
        if left.is_dir() and left not in {each.folder for each in these}:
            shutil.rmtree(left)
    where.mkdir(parents=True, exist_ok=True)
    of = sum(len(each.keys) for each in these)
    done = dict.fromkeys((each.folder.name for each in these), 0)

    def on_progress(name: str, count: int, total: int) -> None:
        done[name] = count
        on_step(sum(done.values()), of)

    # Texts of tokens are written by who joins the stretches, and are often a function that cannot go to a process.
    shared = {"load": source.load, "probe": probe, "what": replace(what, texts=None), "device": device}
    jobs = [Job(each.folder.name, measure_stretch, {"it": each, **shared}) for each in these]
    threads = max(1, torch.get_num_threads() // (workers.count or cores()))
    ended = workers.map(jobs, threads=threads, on_progress=on_progress)
    _check(ended)
    failures: dict[str, str] = {}
    for each in these:
        failures |= json.loads(each.said.read_text(encoding="utf-8"))
    return failures


def _check(ended: Sequence[Outcome]) -> None:
    failed = next((outcome for outcome in ended if outcome.error is not None), None)
    if failed is not None:
        raise InputError(f"the process for steps {failed.name} ended: {failed.error}")


def measure_stretch(
    *,
    it: Share,
    load: Any,
    probe: Probe,
    what: What,
    device: str | torch.device | None,
    tell: Callable[[int, int], None],
) -> None:
    """What the process of one stretch does; again, it goes on."""
    from geophone.ingest.checkpoints import measure

    failures: Mapping[str, str] = {}
    try:
        measured = measure(
            Source(it.keys, load, {}), probe, out=it.folder, what=what, device=device, on_step=tell,
            before=it.before, first=it.first,
        )  # fmt: skip
        failures = dict(measured.failures)
    except StoreError as error:
        if it.folder.exists():
            raise
        failures = {key: str(error) for _, key in it.keys}  # not one of them can be read; others may
    text = json.dumps(failures)
    replace_file(it.said, lambda path: Path(path).write_text(text, encoding="utf-8"))


def joined(writer: RunWriter, these: Sequence[Share]) -> list[int]:
    """Put the rows of every stretch behind those of `writer`, step by step and in order, as one process would have
    written them; the steps."""
    steps: list[int] = []
    for each in these:
        if not each.folder.is_dir():
            continue
        run, start = Run(each.folder), writer.measured
        tables = {kind: [read_table(path) for path in parts(run.folder / kind)] for kind in KINDS}
        for step in sorted({int(step) for table in tables["series"] for step in table["step"].unique()}):
            for kind in KINDS:  # the series last: a step that it has is whole
                for table in tables[kind]:
                    rows = table[table["step"] == step]
                    if len(rows):
                        moved = rows.assign(index=rows["index"] + start) if "index" in rows else rows
                        write_table(writer.next_part(kind), moved.reset_index(drop=True))
            steps.append(step)
    return steps
