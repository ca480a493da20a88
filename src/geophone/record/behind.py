"""Measurements processed behind the training, in a process of their own: threads share the interpreter's lock, and the
spectra of small matrices are as much Python as they are LAPACK."""

import mmap
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import nn

from geophone.errors import StoreError
from geophone.record.memory import aligned, berths, tensor_at
from geophone.record.processing import Key, Measurement, Processed, Processing
from geophone.store.locks import lock_behind
from geophone.store.writer import Row

# Measurements that may be under way at a time, as far as so many bytes hold them; one always may.
MOST, MEMORY = 8, 64 * 10**6
_SERVE = "import sys; from geophone.record.behind import serve; serve(int(sys.argv[1]), int(sys.argv[2]))"


class Lost(Exception):
    """The process behind the training is gone."""


def is_worth_it(model: nn.Module) -> bool:
    """Whether the training leaves a core free: it runs on an accelerator, or on fewer threads than there are cores for
    the processes of this machine that train."""
    if is_on_accelerator(model):
        return True
    beside = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    return _cores() > torch.get_num_threads() * beside


def is_on_accelerator(model: nn.Module) -> bool:
    return any(p.device.type != "cpu" for p in model.parameters())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shared(size: int) -> int:
    """An open file of `size` bytes in memory; where the system has no such thing, one on disk that has no name."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("geophone")
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    os.ftruncate(number, max(size, 1))
    return number


class Child:
    """The process, from when it is asked for; it takes seconds to get ready, and nobody has to wait."""

    def __init__(self, size: int) -> None:
        self.size = aligned(size)
        self.slots = max(1, min(MOST, MEMORY // max(self.size, 1)))
        self._was_ready = False
        shared = _shared(self.slots * self.size)
        ours, theirs = socket.socketpair()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE, str(theirs.fileno()), str(shared)],
            pass_fds=(theirs.fileno(), shared),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the training, which says what happens then
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.memory = mmap.mmap(shared, max(self.slots * self.size, 1))
        os.close(shared)

    def is_ready(self, *, wait: bool = False) -> bool:
        """Whether it can take over. Raises Lost where it ended."""
        with _noticed():
            self._was_ready |= self.connection.poll(None if wait else 0) and bool(_received(self.connection))
        return self._was_ready

    def end(self) -> None:
        """Let it finish what it has; what it holds is given back. One that never got ready has nothing, and is not
        waited for."""
        self.connection.close()
        if not self._was_ready:
            self._process.kill()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Behind:
    """The room that is another process. Rows travel through shared memory, the rest as messages, in order."""

    def __init__(self, child: Child, processing: Processing) -> None:
        self._child, self._processing = child, processing
        self._memory = torch.frombuffer(child.memory, dtype=torch.uint8)
        # Asked at every step of the training, which a connection's own poll takes 20 times as long for.
        self._answers = select.poll()
        self._answers.register(child.connection.fileno(), select.POLLIN)
        self._free, self._given = deque(range(child.slots)), 0
        self._done: list[Processed] = []
        self._scalars: list[Row] = []
        settings = (torch.get_num_threads(), torch.get_float32_matmul_precision())
        self._send("begin", (processing, child.slots * child.size, *settings))

    def scalars(self, row: Row) -> None:
        """Sent with the next message: one per step would cost more than what it carries."""
        self._scalars.append(row)

    def measured(self, it: Measurement) -> None:
        self._give("measured", it)

    def recall(self, it: Measurement) -> None:
        self._give("recall", it)

    def collect(self, *, wait: bool = False) -> list[Processed]:
        if wait:
            self._send_scalars()
        while self._given and (wait or self._poll()):
            self._receive()
        done, self._done = self._done, []
        return done

    def writer(self, name: str, *args: Any, **fields: Any) -> None:
        self._done = self.collect(wait=True)
        self._send("writer", (name, args, fields))
        self._answers.poll()
        with _noticed():
            _, error = _received(self._child.connection)
        if error is not None:
            raise error

    @property
    def idle(self) -> bool:
        return not self._given

    def end(self) -> None:
        """Let the process go; what it has of the run is on disk then."""
        self._child.end()
        self._processing.writer.let_go()

    def abandon(self) -> None:
        """Let go of a process that was lost; the writer here goes on after what is on disk."""
        self._child.end()
        self._processing.writer.take_up()

    def _give(self, kind: str, it: Measurement) -> None:
        while not self._free:
            self._receive()
        scalars, self._scalars = self._scalars, []
        with _noticed():
            slot, tensors = self._free.popleft(), it.tensors
            self._given += 1
            places, end = berths(tensors.values(), slot * self._child.size)
            if end > (slot + 1) * self._child.size:  # larger than what there was to go by, as of a longer batch in band
                content: Mapping[Key, Any] = tensors
            else:
                for place, tensor in zip(places, tensors.values(), strict=True):
                    tensor_at(self._memory, place).copy_(tensor)
                content = dict(zip(tensors, places, strict=True))
            self._send(kind, (slot, it.holding({}), content, scalars))

    def _send_scalars(self) -> None:
        if self._scalars:
            rows, self._scalars = self._scalars, []
            self._send("scalars", rows)

    def _send(self, kind: str, content: Any) -> None:
        with _noticed():
            _send(self._child.connection, (kind, content))

    def _poll(self) -> bool:
        return bool(self._answers.poll(0))

    def _receive(self) -> None:
        """Take one answer. Raises what the writer raised over there, such as a full disk."""
        self._answers.poll()
        with _noticed():
            slot, answer = _received(self._child.connection)
            self._given -= 1
            self._free.append(slot)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            self._done.append(answer)


def _send(link: Connection, message: Any) -> None:
    """Plainly: a connection's own `send` would hand tensors on by files that both processes open."""
    link.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def _received(link: Connection) -> Any:
    return pickle.loads(link.recv_bytes())


class _noticed:
    """Turns what a broken connection raises into Lost, and lets Ctrl-C wait until what is inside is done: after half a
    message, or for an answer that was never asked for, one would wait for ever."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        except BaseException:  # it came just before
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
        if kind is not None and issubclass(kind, EOFError | ConnectionError):
            raise Lost from error


def serve(connection: int, shared: int) -> None:
    """What the process behind the training does, until it is let go or the training's process ends."""
    _give_way()
    link = Connection(connection)
    try:
        _send(link, True)
        kind, content = _received(link)
    except (EOFError, ConnectionError):
        return  # a short training may have ended before this process was there
    processing, size, threads, precision = content
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    memory = torch.frombuffer(mmap.mmap(shared, max(size, 1)), dtype=torch.uint8)
    with lock_behind(processing.writer.folder):
        late: Exception | None = None
        try:
            for kind, content in _messages(link):
                slot, answer = _done(processing, kind, content, memory)
                if kind == "scalars":  # nobody waits for these: what they raise goes with the next answer
                    late = late or answer
                else:
                    _send(link, (slot, late or answer))
                    late = None
        except ConnectionError:
            pass  # nobody is there to hear it
        processing.writer.flush()


def _give_way() -> None:
    """Where no core is free, the training goes first; otherwise every message would put it aside at once."""
    if hasattr(os, "nice"):
        os.nice(10)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _messages(link: Connection) -> Iterator[tuple[str, Any]]:
    while True:
        try:
            yield _received(link)
        except EOFError:  # the training's process let go, or ended in whatever way
            return


def _done(processing: Processing, kind: str, content: Any, memory: torch.Tensor) -> tuple[int, Any]:
    """Do what a message asks; the answer, of which a writer's error is one."""
    slot = -1
    try:
        if kind == "scalars":
            for row in content:
                processing.writer.add([], row)
        elif kind == "writer":
            name, args, fields = content
            getattr(processing.writer, name)(*args, **fields)
        else:
            slot, it, tensors, scalars = content
            for row in scalars:
                processing.writer.add([], row)
            there = {k: t if isinstance(t, torch.Tensor) else tensor_at(memory, t) for k, t in tensors.items()}
            return slot, _portable(getattr(processing, kind)(it.holding(there)))
    except (StoreError, OSError) as error:
        return slot, error
    return slot, None


def _portable(outcome: Processed | None) -> Processed | None:
    """`outcome` with errors that can be sent."""
    if outcome is None or not outcome.faults:
        return outcome
    return replace(outcome, faults=tuple((what, _plain(error)) for what, error in outcome.faults))


def _plain(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error's own code may do anything when it is taken apart; its words stay
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def size_of(it: Measurement) -> int:
    """Bytes that a slot for `it` takes."""
    return berths(it.tensors.values())[1]
