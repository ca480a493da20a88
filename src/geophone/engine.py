"""Many tasks at once: the same function on local processes, or on a Ray cluster."""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from geophone.errors import GeophoneError, InputError

TRIES = 3
_TELL_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work: `function(**arguments, tell=...)`, which leaves its result on disk and returns nothing.

    The function is found by name in the worker, so it stands at the top of a module. `tell(done, of)` is how it
    reports progress. Run again, it must go on where it was, or find that there is nothing left to do.
    """

    name: str
    function: Callable[..., None]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: `error` is None, or one sentence; `trace` is for whoever mends a defect."""

    name: str
    error: str | None = None
    trace: str = ""


@dataclass(slots=True)
class _Worker:
    task: Task
    process: Any
    ear: Connection
    last: tuple | None = field(default=None)


Progress = Callable[[str, int, int], None]
Ended = Callable[[Outcome], None]


def run_local(
    tasks: Sequence[Task], *, workers: int, threads: int = 1, on_progress: Progress, on_end: Ended
) -> list[Outcome]:
    """Run `tasks`, `workers` at a time, each in a process of its own with `threads` threads for BLAS and OpenMP.

    A worker that dies (killed, out of memory) loses only its own task, which is started again up to 2 times; an
    error that the task itself raises is final. Workers end when this process does, however it ends. Returns an
    outcome a task, in their order; raises InputError for fewer than 1 worker.
    """
    if workers < 1 or threads < 1:
        raise InputError(f"workers={workers}, threads={threads}: give 1 or more of each.")
    waiting = [(task, 1) for task in tasks]
    running: dict[str, tuple[_Worker, int]] = {}
    ended: dict[str, Outcome] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                task, attempt = waiting.pop(0)
                running[task.name] = (_start(task, threads), attempt)
            _listen([worker for worker, _ in running.values()], on_progress)
            for worker, attempt in [pair for pair in running.values() if not pair[0].process.is_alive()]:
                del running[worker.task.name]
                outcome = _outcome(worker, attempt, on_progress)
                if outcome is None:
                    waiting.insert(0, (worker.task, attempt + 1))
                else:
                    ended[outcome.name] = outcome
                    on_end(outcome)
    finally:
        for worker, _ in running.values():
            worker.process.terminate()
            worker.process.join()
    return [ended[task.name] for task in tasks]


def _start(task: Task, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ear, mouth = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, mouth), name=task.name)
    with _thread_limit(threads):
        process.start()
    mouth.close()
    return _Worker(task, process, ear)


@contextmanager
def _thread_limit(threads: int):
    """Libraries read these once, when a worker loads them."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(task: Task, mouth: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    said = 0.0

    def tell(done: int, of: int) -> None:
        nonlocal said
        if done == of or time.monotonic() - said > _TELL_EVERY:
            said = time.monotonic()
            mouth.send(("at", done, of))

    try:
        error, trace = _attempt(task, tell)
    except KeyboardInterrupt:
        error, trace = "stopped by hand", ""
    mouth.send(("done",) if error is None else ("error", error, trace))


def _attempt(task: Task, tell: Callable[[int, int], None]) -> tuple[str | None, str]:
    """Do `task`; None and nothing when it is done, else one sentence and, of a defect, the trace."""
    try:
        task.function(**task.arguments, tell=tell)
    except GeophoneError as error:
        return str(error), ""
    except Exception as error:
        # Whatever else a network of the user's own, or a defect of ours, may raise: it ends this task alone, the
        # sentence goes to the terminal and the trace to a log.
        return f"{type(error).__name__}: {error}", traceback.format_exc()
    return None, ""


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _listen(workers: Sequence[_Worker], on_progress: Progress) -> None:
    """Take in what workers say, until one has said something or ended."""
    sources = {worker.ear: worker for worker in workers if not worker.ear.closed}
    ready = wait([*sources, *(worker.process.sentinel for worker in workers)], timeout=1.0)
    for ear in [r for r in ready if r in sources]:
        _take(sources[ear], on_progress)


def _take(worker: _Worker, on_progress: Progress) -> None:
    try:
        while worker.ear.poll():
            said = worker.ear.recv()
            if said[0] == "at":
                on_progress(worker.task.name, *said[1:])
            else:
                worker.last = said
    except (EOFError, OSError):
        # The worker is gone: nothing more will be said, and its exit is seen by the caller.
        worker.ear.close()


def _outcome(worker: _Worker, attempt: int, on_progress: Progress) -> Outcome | None:
    """How the ended `worker` did; None when it died and may try again."""
    if not worker.ear.closed:
        _take(worker, on_progress)
    worker.process.join()
    name, code = worker.task.name, worker.process.exitcode
    if worker.last is not None:
        kind, *rest = worker.last
        return Outcome(name) if kind == "done" else Outcome(name, *rest)
    if attempt < TRIES:
        return None
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return Outcome(name, f"its process died {TRIES} times, the last time by {how}")


def run_ray(
    tasks: Sequence[Task], *, address: str, threads: int = 1, gpus: float = 0, on_progress: Progress, on_end: Ended
) -> list[Outcome]:
    """`run_local` on a Ray cluster: `address` as in `ray.init`, "auto" for the cluster of this machine, or "local" for
    one that is started here and ends with us.

    Every task asks for `threads` CPUs and `gpus` GPUs; one whose node is lost is started again on another, up to 2
    times. All nodes must see the same files under the same paths. Ray checks a token on every connection where
    RAY_AUTH_MODE=token is set (docs/study.md). Progress comes a task at a time. Raises InputError when ray is not
    installed or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'geophone[ray]'.") from error
    try:
        if not ray.is_initialized():
            place = {} if address == "local" else {"address": address}
            ray.init(**place, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0]}") from error
    remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=TRIES - 1)(_work_remotely)
    waiting = {remote.remote(task): task for task in tasks}
    ended: dict[str, Outcome] = {}
    while waiting:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        task = waiting.pop(ready[0])
        try:
            outcome = Outcome(task.name, *ray.get(ready[0]))
        except ray.exceptions.RayError as error:
            outcome = Outcome(task.name, f"Ray lost it: {str(error).splitlines()[0]}")
        ended[task.name] = outcome
        on_progress(task.name, 1, 1)
        on_end(outcome)
    return [ended[task.name] for task in tasks]


def _work_remotely(task: Task) -> tuple[str | None, str]:
    return _attempt(task, lambda done, of: None)
