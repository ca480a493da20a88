"""Recordings that end badly with measurements under way: everything up to the last flushed part must be there.

    python benchmarks/hard_recordings.py [--times 4] [--seed 0]

A small network is recorded at every step in peace, beside its training. Then again in each room (beside the training,
behind it in another process, in a thread), and ended at random moments: the training killed (`kill -9`), the process
behind it killed (the training goes on), Ctrl-C, an exception in the loop, a disk that fills up. What is there
afterwards must open, hold the rows of the peaceful recording from the first step on without a gap, number for number,
and hold all of them where the recorder could close; where the process behind was killed, a gap of what was under way is
allowed, and changes are compared anew after it. Prints a Markdown table; exit status 1 where a recording failed; a day
that this machine cannot have is skipped and said so.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from hard_days import Failed, Skipped, mounted

import geophone as gp
from geophone.errors import GeophoneError

STEPS = 1500
ROOMS = ("beside", "behind", "thread")
TRAINING = """
import signal, sys, torch
from torch import nn
import geophone as gp
from geophone.record import rooms

folder, room, ending, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background is deaf to it
rooms._LARGE = 0 if room == "thread" else rooms._LARGE
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
generator = torch.Generator().manual_seed(1)
probe = torch.randn(64, 6, generator=generator)
with gp.Recorder(model, probe, out=folder, every=1, labels=probe[:, :3].argmax(1), snapshots=None,
                 sync=room == "beside", at_start=False) as recorder:
    for step in range(1, steps + 1):
        x = torch.randn(32, 6, generator=generator)
        loss = nn.functional.cross_entropy(model(x), x[:, :3].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recorder.step(loss=loss.item())
        print(step, flush=True)
        if step == ending:
            raise ZeroDivisionError("as agreed")
"""


@dataclass(frozen=True)
class Ground:
    """Where recordings are made, and the rows of the peaceful one."""

    place: Path
    whole: pd.DataFrame
    rng: np.random.Generator

    def start(self, folder: Path, room: str, *, ending: int = 0) -> subprocess.Popen:
        command = [sys.executable, "-c", TRAINING, str(folder), room, str(ending), str(STEPS)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, start_new_session=True, **pipes)

    def moment(self) -> int:
        """A step at which something happens, after the first part is on disk."""
        return int(self.rng.integers(150, STEPS - 50))


def reached(process: subprocess.Popen, step: int) -> None:
    for line in process.stdout:
        if int(line) >= step:
            return
    raise Failed(f"it ended before step {step}: {process.stderr.read()[-300:]}")


def rows_of(folder: Path) -> pd.DataFrame:
    try:
        return gp.open(folder).table().drop(columns=["run"], errors="ignore")
    except GeophoneError as error:
        raise Failed(f"it does not open: {error}") from error


def last_of(ground: Ground, folder: Path, *, to: int | None = None) -> int:
    """The last measurement there, when all before it are those of the peaceful recording. Raises Failed otherwise."""
    rows = rows_of(folder)
    last = int(rows["step"].max())
    expected = ground.whole.query("step <= @last").reset_index(drop=True)
    if not rows.reset_index(drop=True).equals(expected):
        raise Failed(f"the rows up to step {last} are not those of the peaceful recording")
    if to is not None and last != to:
        raise Failed(f"it holds {last} measurements of {to}")
    return last


def training_killed(ground: Ground, room: str, folder: Path) -> str:
    step, process = ground.moment(), ground.start(folder, room)
    reached(process, step)
    process.kill()
    said = process.communicate()[0]
    done = int(said.split()[-1]) if said.split() else step
    until = time.monotonic() + 30
    while room == "behind" and time.monotonic() < until:  # it writes what it was given, and ends
        time.sleep(0.3)
        if int(rows_of(folder)["step"].max()) >= done - 9:
            break
    last = last_of(ground, folder)
    least = done - 9 if room == "behind" else done // 100 * 100 - 1
    if last < least:
        raise Failed(f"killed at step {done}, it holds {last} measurements")
    return f"{last} of {done}"


def other_killed(ground: Ground, room: str, folder: Path) -> str:
    if room != "behind":
        raise Skipped("there is no other process")
    step, process = ground.moment(), ground.start(folder, room)
    reached(process, step)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        subprocess.run(["kill", "-9", child], check=True)
    _, said = process.communicate()
    if process.returncode or "has ended; what it had not written is lost" not in said:
        raise Failed(f"exit status {process.returncode}: {said[-300:]}")
    steps = rows_of(folder)["step"].drop_duplicates().to_numpy()
    gap = int(np.flatnonzero(np.diff(steps) > 1)[0]) if (np.diff(steps) > 1).any() else len(steps) - 1
    before = ground.whole.query("step <= @steps[@gap]").reset_index(drop=True)
    if steps[0] != 1 or steps[-1] != STEPS or (np.diff(steps) > 1).sum() > 1 or gap + 1 < step // 100 * 100:
        raise Failed(f"steps {steps[0]} to {steps[-1]}, with a gap after {steps[gap]}")
    if not rows_of(folder).query("step <= @steps[@gap]").reset_index(drop=True).equals(before):
        raise Failed("the rows before the gap are not those of the peaceful recording")
    return f"{steps[gap]} of {step}, and from {steps[min(gap + 1, len(steps) - 1)]} on"


def interrupted(ground: Ground, room: str, folder: Path) -> str:
    step, process = ground.moment(), ground.start(folder, room)
    reached(process, step)
    process.send_signal(signal.SIGINT)
    process.communicate()
    manifest = gp.open(folder).manifest
    if manifest.status != "interrupted":
        raise Failed(f"its status is {manifest.status}")
    return f"{last_of(ground, folder, to=manifest.measurements)} of {manifest.measurements}"


def excepted(ground: Ground, room: str, folder: Path) -> str:
    step = ground.moment()
    _, said = ground.start(folder, room, ending=step).communicate()
    manifest = gp.open(folder).manifest
    if manifest.status != "failed" or "as agreed" not in said:
        raise Failed(f"its status is {manifest.status}: {said[-300:]}")
    return f"{last_of(ground, folder, to=step)} of {step}"


def full_disk(ground: Ground, room: str, folder: Path) -> str:
    with mounted(["-t", "tmpfs", "-o", f"size={int(ground.rng.integers(150_000, 300_000))}", "tmpfs"], folder):
        process = ground.start(folder / "run", room)
        _, said = process.communicate()
        if process.returncode == 0 or "No space left" not in said:
            raise Failed(f"exit status {process.returncode}: {said[-300:]}")
        return f"{last_of(ground, folder / 'run')}, and the error was raised in the loop"


DAYS: dict[str, Callable[[Ground, str, Path], str]] = {
    "training killed": training_killed, "other process killed": other_killed, "Ctrl-C": interrupted,
    "exception": excepted, "full disk": full_disk,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(DAYS), default=list(DAYS))
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        peace = Ground(Path(place), pd.DataFrame(), np.random.default_rng(options.seed))
        _, said = peace.start(peace.place / "peace", "beside").communicate()
        ground = Ground(Path(place), rows_of(peace.place / "peace"), np.random.default_rng(options.seed))
        if ground.whole["step"].nunique() != STEPS:
            print(f"the recording failed in peace: {said}")
            return 1
        print("| what happens | where | measurements there | |\n|---|---|---|---|")
        for day in options.only:
            for room in ROOMS:
                told, end = [], "ok"
                for time_ in range(options.times):
                    try:
                        told.append(DAYS[day](ground, room, Path(place) / f"{day}-{room}-{time_}".replace(" ", "-")))
                    except Skipped as why:
                        told, end = [str(why)], "skipped"
                        break
                    except Failed as why:
                        told.append(str(why).replace("|", "/"))
                        end, failed = "**failed**", failed + 1
                print(f"| {day} | {room} | {'; '.join(told)} | {end} |", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
