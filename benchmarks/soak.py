"""A long recording holds no more at its end than at its beginning: memory, open files, processes.

    python benchmarks/soak.py [--measurements 20000] [--rooms beside behind thread]

A small network is trained and measured at every step, with behaviour, a concept, a noise probe, alarms and snapshots,
beside its training, behind it in another process, and in a thread. From the first fifth on, resident memory (of a
process behind the training too) may grow by 2 % at most, and as many files and threads are open in the last half as in
the first (the fewest of each half: a part that is being written is open for a moment).
Prints a Markdown table; exit status 1 where something grew. Linux only.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch import nn

import geophone as gp
from geophone.record import rooms

ROOMS = ("beside", "behind", "thread")
MOST = 0.02


def held() -> dict[str, float]:
    """MB, open files and threads of this process and of those that it started."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    total = dict.fromkeys(("MB", "files", "threads"), 0.0)
    for process in (str(me), *children):
        lines = (line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines())
        status = {words[0]: words[1] for words in lines if len(words) > 1}
        total["MB"] += int(status["VmRSS:"]) / 1000
        total["threads"] += int(status["Threads:"])
        total["files"] += len(os.listdir(f"/proc/{process}/fd"))
    return total


def soaked(room: str, measurements: int, folder: Path) -> list[dict[str, float]]:
    """What was held at fifty moments of a recording of so many measurements."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(1)
    probe, noise = torch.randn(2, 64, 6, generator=generator)
    seen: list[dict[str, float]] = []
    with gp.Recorder(
        model, probe, out=folder / room, every=1, labels=probe[:, :3].argmax(1), noise_probe=noise,
        concepts={"sign": probe[:, 0] > 0}, on_record=lambda record: None, sync=room == "beside",
    ) as recorder:  # fmt: skip
        for step in range(1, measurements + 1):
            x = torch.randn(32, 6, generator=generator)
            loss = nn.functional.cross_entropy(model(x), x[:, :3].argmax(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % max(1, measurements // 50) == 0:
                seen.append(held())
    written = gp.open(folder / room).manifest.measurements
    if written != measurements:
        raise SystemExit(f"{room}: {written} of {measurements} measurements were written")
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=int, default=20_000)
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    options = parser.parse_args()
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    large, grew = rooms._LARGE, False
    print("| room | measurements | MB after a fifth | MB at most since | grew by | files | threads | s |")
    print("|---|---:|---:|---:|---:|---|---|---:|")
    for room in options.rooms:
        rooms._LARGE = 0 if room == "thread" else large
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            seen = soaked(room, options.measurements, Path(folder))
        late = seen[len(seen) // 5 :]
        most = max(each["MB"] for each in late)
        growth = most / late[0]["MB"] - 1
        counts = {name: {int(each[name]) for each in late} for name in ("files", "threads")}
        halves = late[: len(late) // 2], late[len(late) // 2 :]
        fewest = [[min(each[name] for each in half) for name in counts] for half in halves]
        grew |= growth > MOST or fewest[0] != fewest[1]
        shown = " | ".join(", ".join(map(str, sorted(counts[name]))) for name in ("files", "threads"))
        print(
            f"| {room} | {options.measurements:,} | {late[0]['MB']:.1f} | {most:.1f} | {100 * growth:.2f} % | {shown} "
            f"| {time.monotonic() - start:.0f} |",
            flush=True,
        )
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
