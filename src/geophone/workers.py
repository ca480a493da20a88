"""Many tasks at once: the same function on local processes, or on a Ray cluster."""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from geophone.errors import GeophoneError, InputError

TRIES = 3
_TELL_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: `function(**arguments, tell=...)`, which leaves its result on disk and returns nothing.

    The function is found by name in the worker, so it stands at the top of a module. `tell(done, of)` is how it
    reports progress. Run again, it must go on where it was, or find that there is nothing left to do.
    """

    name: str
    function: Callable[..., None]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: `error` is None, or one sentence; `trace` is for whoever looks for a defect."""

    name: str
    error: str | None = None
    trace: str = ""


Progress = Callable[[str, int, int], None]
Ended = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does tasks: `count` processes of this machine at a time (default: its cores / the threads of a task), or the
    Ray cluster at the address `ray` ("auto": that of this machine; "local": one that is started here and ends with us),
    where every task asks for `gpus` GPUs."""

    count: int | None = None
    ray: str | None = None
    gpus: float = 0.0

    def map(
        self,
        tasks: Sequence[Job],
        *,
        threads: int = 1,
        on_progress: Progress = lambda *news: None,
        on_end: Ended = lambda outcome: None,
    ) -> list[Outcome]:
        """Do `tasks`, each with `threads` threads for BLAS and OpenMP (on Ray: CPUs), and return how they ended, in
        their order.

        A worker that dies (killed, out of memory, a lost node) loses only its own task, which is started again up to 2
        times; an error that the task itself raises is final. Local workers end when this process does, however it ends.
        `on_progress(name, done, of)` and `on_end(outcome)` are called one at a time; on Ray, progress comes per task.
        Raises InputError for fewer than 1 worker or thread, and where Ray is not installed or no cluster answers.
        """
        count = self.count if self.count is not None else max(1, cores() // max(threads, 1))
        if count < 1 or threads < 1:
            raise InputError(f"workers={count}, threads={threads}: give 1 or more of each.")
        if not tasks:
            return []
        if self.ray is not None:
            return _on_ray(tasks, self, threads, on_progress, on_end)
        return _here(tasks, count, threads, on_progress, on_end)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _here(tasks: Sequence[Job], count: int, threads: int, on_progress: Progress, on_end: Ended) -> list[Outcome]:
    """A process per task, and a thread of ours for each that runs: it listens to it and sees its end."""
    running: set[SpawnProcess] = set()
    lock, ended = threading.RLock(), threading.Event()

    def attend(task: Job) -> Outcome:
        outcome = Outcome(task.name, "it was not started")
        for _ in range(TRIES):
            with lock:
                if ended.is_set():
                    return outcome
                process, ear = _started(task, threads)
                running.add(process)
            last = None
            for kind, *news in _said(ear):
                if kind == "end":
                    last = news
                else:
                    with lock:
                        on_progress(task.name, *news)
            process.join()
            if last is not None:
                outcome = Outcome(task.name, *last)
                break
            how = f"signal {-code}" if (code := process.exitcode or 0) < 0 else f"exit status {code}"
            outcome = Outcome(task.name, f"its process died {TRIES} times, the last time by {how}")
        with lock:
            on_end(outcome)
        return outcome

    with ThreadPoolExecutor(count) as pool:
        try:
            return list(pool.map(attend, tasks))
        finally:
            # Reached early by Ctrl-C or by an error of the caller's: nothing is started any more.
            with lock:
                ended.set()
                for process in running:
                    process.terminate()


def _started(task: Job, threads: int) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ear, mouth = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, mouth), name=task.name)
    with _thread_limit(threads):
        process.start()
    mouth.close()
    return process, ear


def _said(ear: Connection) -> Iterator[tuple]:
    """What a worker says, until it is gone."""
    with ear:
        try:
            while True:
                yield ear.recv()
        except (EOFError, OSError):
            return


@contextmanager
def _thread_limit(threads: int) -> Iterator[None]:
    """Libraries read these once, when a worker loads them."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _work(task: Job, mouth: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    last = 0.0

    def tell(done: int, of: int) -> None:
        nonlocal last
        if done == of or time.monotonic() - last > _TELL_EVERY:
            last = time.monotonic()
            mouth.send(("at", done, of))

    try:
        end = _attempt(task, tell)
    except KeyboardInterrupt:
        end = ("stopped by hand", "")
    mouth.send(("end", *end))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _attempt(task: Job, tell: Callable[[int, int], None]) -> tuple[str | None, str]:
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


def _on_ray(
    tasks: Sequence[Job], workers: Workers, threads: int, on_progress: Progress, on_end: Ended
) -> list[Outcome]:
    """All nodes must see the same files under the same paths. Ray checks a token on every connection where
    RAY_AUTH_MODE=token is set (docs/study.md)."""
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'geophone[ray]'.") from error
    try:
        if not ray.is_initialized():
            place = None if workers.ray == "local" else workers.ray
            ray.init(place, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster answers at {workers.ray!r}: {str(error).splitlines()[0]}") from error
    remote = ray.remote(num_cpus=threads, num_gpus=workers.gpus, max_retries=TRIES - 1)(_work_remotely)
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


def _work_remotely(task: Job) -> tuple[str | None, str]:
    return _attempt(task, lambda done, of: None)
