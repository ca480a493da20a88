"""Days on which everything goes wrong: a study must come out of each of them as if nothing had happened.

    python benchmarks/hard_days.py [--only DAY ...] [--kills 12] [--seed 0]

A study of three short runs, phase 1, digs and evidence is done once in peace. Then again on every hard day: killed at
random moments, on a disk that fills up, in a read-only folder, while the clock jumps, beside a second writer, with a
worker that eats all memory, on a Ray cluster that loses a node. Every day must end with the same files as the peaceful
one (manifests but for their times of day), and whatever was refused on the way must have been refused in one sentence.
Prints a table in Markdown. Exit status 1 when a day failed; a day that this machine cannot have is skipped and said so.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kill import contents, differing

STUDY = """
name = "hard"
networks = ["mlp_1_digits", "mlp_1_parity", "hog:build"]
steps = 300
probe_samples = 64
dimensions = ["stable_rank", "participation_ratio"]
[detect]
surrogates = 49
[dig]
per_class = 10
units = 2
steps = 8
[evidence]
draws = 99
"""
HOG = """
import os
from dataclasses import replace
from geophone.zoo.catalogue import experiment

def build():
    spec = experiment("mlp_1_digits")
    return replace(spec, name="hog", build=hungry(spec.build))

def hungry(build):
    def made():
        eaten = []
        while os.path.exists("hungry"):
            eaten.append(b"x" * 2**26)
        return build()
    return made
"""
CLI = "from geophone.cli import main; main()"
LIMIT = 3 * 2**30
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Skipped(Exception):
    """This machine cannot have such a day; says why."""


class Failed(Exception):
    """The day did not end as it must; says how."""


@dataclass(frozen=True)
class Ground:
    """Where the days are had: a folder with the study file and the network of our own, the files of the peaceful
    study, and how long that took (s)."""

    place: Path
    whole: Mapping[str, bytes]
    took: float
    kills: int
    rng: np.random.Generator

    def start(self, folder: Path, *, until: str = "evidence", **options) -> subprocess.Popen:
        command = [sys.executable, "-c", CLI, "run", "hard.toml", "--out", str(folder), "--until", until]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.place, start_new_session=True, **pipes, **options)

    def finish(self, folder: Path, **options) -> None:
        """Run the study to its end. Raises Failed unless it gets there and leaves the files of the peaceful one."""
        process = self.start(folder, **options)
        _, said = process.communicate()
        if process.returncode:
            raise Failed(f"exit status {process.returncode} when it should have gone on: {said[-300:]}")
        if other := differing(self.whole, contents(folder)):
            raise Failed(f"{len(other)} files differ, {other[0]} among them")

    def refused(self, folder: Path, *words: str, **options) -> str:
        """Run the study where it must be refused; the sentence it says."""
        process = self.start(folder, **options)
        _, said = process.communicate()
        return sentence(process.returncode, said, words)


def sentence(status: int, said: str, words: tuple[str, ...]) -> str:
    line = said.strip().splitlines()[-1] if said.strip() else ""
    if status not in (1, 2) or "Traceback" in said or not line.startswith("geophone: "):
        raise Failed(f"exit status {status} and no sentence: {said[-300:]!r}")
    if not any(word in line for word in words):
        raise Failed(f"the sentence is about something else: {line}")
    return line


def killed(ground: Ground) -> str:
    kills, finished, stages = 0, 0, []
    while kills < ground.kills:
        folder = ground.place / f"killed-{finished}"
        while kills < ground.kills:
            process = ground.start(folder)
            try:
                process.wait(timeout=ground.rng.uniform(0, ground.took))
                break
            except subprocess.TimeoutExpired:
                stages.append(stage_of(folder))
                whole_group = ground.rng.random() < 0.5
                os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
                process.wait()
                kills += 1
        ground.finish(folder)
        finished += 1
    seen = ", ".join(f"{stages.count(stage)} in {stage}" for stage in dict.fromkeys(stages))
    return f"{kills} times `kill -9` at random moments ({seen}), {finished} folders gone on with"


def stage_of(folder: Path) -> str:
    """The stage that a study in `folder` is in, by what it has left so far."""
    marks = (("evidence.parquet", "evidence or later"), ("digs/chosen.parquet", "dig"), ("targets.parquet", "dig"),
             ("phenomena/*.parquet", "detect"), ("runs/*/run.json", "train"))  # fmt: skip
    found = next((stage for mark, stage in marks if any(folder.glob(mark))), "start")
    done = len(list(folder.glob("runs/*/checkpoints/step-00000300.safetensors"))) == 3
    return "detect" if found == "train" and done else found


def full_disk(ground: Ground) -> str:
    size = sum(map(len, ground.whole.values()))
    said = []
    for number, room in enumerate((600_000, size * 9 // 10)):
        disk = ground.place / f"disk-{number}"
        with mounted(["-t", "tmpfs", "-o", f"size={room}", "tmpfs"], disk):
            said.append(ground.refused(disk / "study", "No space left", "could not write", "cannot write"))
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            ground.finish(disk / "study")
    return f"a disk of 600 kB and one of 9/10 of the study; given more room, gone on. Said: {short(said[0])}"


def read_only(ground: Ground) -> str:
    folder, door = ground.place / "locked", ground.place / "door"
    ground.start(folder, until="train").communicate()
    before = contents(folder)
    with mounted(["--bind", folder], door):
        subprocess.run(["mount", "-o", "remount,ro,bind", door], check=True)
        said = ground.refused(door, "cannot write", "Read-only", "could not write")
        opened = f"import geophone as gp; print(len(gp.open({str(door)!r}).runs[0].series('stable_rank')))"
        read = subprocess.run([sys.executable, "-c", opened], capture_output=True, text=True)
    if read.returncode or read.stdout.strip() != "60":
        raise Failed(f"a read-only study could not be read: {read.stderr[-300:]}")
    if differing(before, contents(folder)):
        raise Failed("something was changed")
    ground.finish(folder)
    return (
        f"a trained study, bind-mounted read-only: read, not gone on with; made writable, gone on. Said: {short(said)}"
    )


def clock_jumps(ground: Ground) -> str:
    if not FAKETIME.exists():
        raise Skipped("libfaketime is not installed (apt install libfaketime)")
    clock = ground.place / "clock"
    clock.write_text("+0")
    told = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    kept = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    jumps = ("+400d", "-400d", "+0", "-30d", "+9000d", "-1h")
    folder = ground.place / "jumping"
    process = ground.start(folder, env=os.environ | told | kept)
    made = 0
    while process.poll() is None:
        time.sleep(ground.took / 12)
        clock.write_text(jumps[made % len(jumps)])
        made += 1
    said = process.communicate()[1]
    if process.returncode:
        raise Failed(f"exit status {process.returncode}: {said[-300:]}")
    if other := differing(ground.whole, contents(folder)):
        raise Failed(f"{len(other)} files differ, {other[0]} among them")
    years = {p.read_text().split('"created": "')[1][:4] for p in folder.glob("runs/*/run.json")}
    if len(years) < 2 and not any(int(year) > 2100 or int(year) < 2020 for year in years) and made < 3:
        raise Failed("the clock did not jump")
    return f"{made} jumps of the wall clock, up to 400 days back and 9,000 on, while it ran"


def two_writers(ground: Ground) -> str:
    folder = ground.place / "shared"
    first = ground.start(folder)
    until = time.monotonic() + 120
    while not any(folder.glob("runs/*/run.json")) and time.monotonic() < until:
        time.sleep(0.1)
    said = ground.refused(folder, "is being written by")
    if first.communicate() and first.returncode:
        raise Failed("the first one was harmed")
    if other := differing(ground.whole, contents(folder)):
        raise Failed(f"{len(other)} files differ, {other[0]} among them")
    both = ground.place / "both"
    pair = [ground.start(both), ground.start(both)]
    ends = [(process.communicate()[1], process.returncode) for process in pair]
    if sorted(status for _, status in ends) != [0, 2]:
        raise Failed(f"of two started at once one must win: {[(s, text[-200:]) for text, s in ends]}")
    sentence(2, next(text for text, status in ends if status), ("is being written by", "already holds"))
    ground.finish(both)
    return f"a second while the first trained, and two started at once: one refused each time. Said: {short(said)}"


def out_of_memory(ground: Ground) -> str:
    folder, hungry = ground.place / "hungry-study", ground.place / "hungry"
    hungry.touch()
    try:
        with memory_limit() as (how, enter):
            said = ground.refused(folder, "1 of 3 runs failed; the others are complete", preexec_fn=enter)
    finally:
        hungry.unlink()
    there = {name: data for name, data in contents(folder).items() if name.startswith("runs/mlp")}
    if there != {name: data for name, data in ground.whole.items() if name.startswith("runs/mlp")}:
        raise Failed("the other runs are not complete")
    ground.finish(folder)
    return f"one run of three eats without end ({how}); mended, the study went on. Said: {short(said)}"


@contextmanager
def memory_limit() -> Iterator[tuple[str, Callable[[], None]]]:
    """A control group with 3 GB in which the kernel kills who takes more, or an address space of that size."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    for root, file in ((first, "memory.limit_in_bytes"), (second, "memory.max")):
        group = root / f"geophone-hard-days-{os.getpid()}"
        try:
            group.mkdir()
            (group / file).write_text(str(LIMIT))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        try:
            yield (
                "killed by the kernel in a cgroup of 3 GB",
                lambda at=group: (at / "cgroup.procs").write_text(str(os.getpid())),
            )
        finally:
            time.sleep(1)
            group.rmdir()
        return
    import resource

    yield "refused memory by RLIMIT_AS", lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def lost_node(ground: Ground) -> str:
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise Skipped("ray is not installed") from error
    folder = ground.place / "ray"
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import lost_node; lost_node.main()"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ground.place, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"exit status {done.returncode}: {done.stderr[-400:]}")
    if other := differing(ground.whole, contents(folder)):
        raise Failed(f"{len(other)} files differ, {other[0]} among them")
    return done.stdout.strip().splitlines()[-1]


@contextmanager
def mounted(what: list, at: Path) -> Iterator[None]:
    at.mkdir()
    done = subprocess.run(["mount", *map(str, what), str(at)], capture_output=True, text=True)
    if done.returncode:
        raise Skipped(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def short(said: str) -> str:
    """A sentence for the table, without the folders of this machine."""
    words = [Path(w).name or w if w.startswith("/") else w for w in said.removeprefix("geophone: ").split()]
    line = " ".join(words)
    return f"“{line[:140]}{'…' if len(line) > 140 else ''}”".replace("|", "/")


DAYS: Mapping[str, Callable[[Ground], str]] = {
    "kill -9": killed, "full disk": full_disk, "read-only folder": read_only, "clock jumps": clock_jumps,
    "two writers": two_writers, "worker out of memory": out_of_memory, "lost Ray node": lost_node,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(DAYS), default=list(DAYS))
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "hard.toml").write_text(STUDY)
        (place / "hog.py").write_text(HOG)
        began = time.monotonic()
        peace = Ground(place, {}, 0.0, given.kills, np.random.default_rng(given.seed))
        _, said = peace.start(place / "peace").communicate()
        whole, took = contents(place / "peace"), time.monotonic() - began
        if "evidence.parquet" not in whole:
            print(f"the study failed in peace: {said}")
            return 1
        print(f"In peace: {took:.0f} s, {len(whole)} files.\n")
        print("| day | what was done | lost | time | |\n|---|---|---|---:|---|")
        for day in given.only:
            began = time.monotonic()
            ground = Ground(place, whole, took, given.kills, np.random.default_rng(given.seed))
            try:
                told, lost, end = DAYS[day](ground), f"nothing: {len(whole)} files byte for byte", "ok"
            except Skipped as why:
                told, lost, end = str(why), "", "skipped"
            except Failed as why:
                told, lost, end = short(str(why)), "?", "**failed**"
                failed += 1
            print(f"| {day} | {told} | {lost} | {time.monotonic() - began:.0f} s | {end} |", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
