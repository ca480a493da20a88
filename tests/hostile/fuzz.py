"""Damage every file that geophone reads, and see that each reading ends in a result or in one sentence.

    python tests/hostile/fuzz.py [--mutants 2000] [--seed 0] [--verbs]

Mutants are read in child processes; one that hangs for 10 seconds is killed, and a fresh child goes on after it. A
failure is a mutant whose reading raised anything but a GeophoneError, said something that is not one plain sentence,
took 10 seconds, died, or had more than 2 GB resident. Exit status 1 when there is one.
"""

import argparse
import json
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS, MEGABYTES = 10.0, 2048
START = 240.0
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Failure:
    number: int
    reader: str
    how: str
    what: str


@dataclass(frozen=True)
class Fuzzed:
    """How many mutants each reader had, the failures, and the slowest (s) and the largest (MiB resident) reading."""

    read: Counter
    failures: list[Failure]
    slowest: float
    largest: int


def fuzz(mutants: int, *, seed: int, what: str = "", only: int | None = None, seconds: float = SECONDS) -> Fuzzed:
    """Read `mutants` mutants, or the one of number `only`; `what`: "guests", also files of optional libraries, or
    "verbs", the documents of a study by report, paper and evidence."""
    read, failures, slowest, largest = Counter(), [], 0.0, 0
    first, last = (0, mutants) if only is None else (only, only + 1)
    with tempfile.TemporaryDirectory() as folder:
        while first < last:
            begun: dict = {}
            for line in _child(folder, (seed, first, last), what, seconds):
                if "how" in line:
                    read[begun["reader"]] += 1
                    slowest, largest = max(slowest, line["seconds"]), max(largest, line["peak"])
                    trouble = line["error"] or (f"{line['peak']} MiB" if line["peak"] > MEGABYTES else None)
                    if trouble:
                        failures.append(Failure(line["number"], begun["reader"], line["how"], trouble))
                    begun, first = {}, line["number"] + 1
                elif "number" in line:
                    begun = line
                elif "died" in line:
                    if not begun:
                        raise RuntimeError(f"the child did not start: {line['died']}")
                    read[begun["reader"]] += 1
                    failures.append(Failure(begun["number"], begun["reader"], "?", line["died"]))
                    first = begun["number"] + 1
                    _mend(Path(folder))
    return Fuzzed(read, failures, slowest, largest)


def _mend(folder: Path) -> None:
    """A child that was killed left its mutant lying: the next one makes the corpus anew."""
    for name in ("study", "theirs", "out", "whole"):
        subprocess.run(["rm", "-rf", folder / name], check=True)


def _child(folder: str, numbers: tuple[int, int, int], what: str, seconds: float) -> Iterator[dict]:
    command = [sys.executable, str(HERE / "child.py"), folder, *map(str, numbers)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*command, what], stdout=subprocess.PIPE, stderr=said, stdin=subprocess.DEVNULL)
        wait, buffer = START, b""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], wait)
            chunk = process.stdout.read1(65536) if ready else b""
            if not chunk:
                process.kill()
                process.wait()
                if not ready or process.returncode:
                    said.seek(0)
                    how = f"no end after {wait:.0f} s" if not ready else f"exit status {process.returncode}"
                    yield {"died": f"{how}: {said.read()[-2000:].decode(errors='replace')}"}
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                wait = seconds
                yield json.loads(line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one mutant")
    parser.add_argument("--verbs", action="store_true", help="documents of a study, by the verbs that read them")
    given = parser.parse_args()
    what, seconds = ("verbs", 60.0) if given.verbs else ("guests", SECONDS)
    found = fuzz(given.mutants, seed=given.seed, what=what, only=given.only, seconds=seconds)
    for failure in found.failures:
        print(f"\n--- mutant {failure.number}, {failure.reader}, {failure.how}\n{failure.what}")
    print("\n| reader | mutants | failures |\n|---|---:|---:|")
    wrong = Counter(failure.reader for failure in found.failures)
    for reader, count in found.read.items():
        print(f"| {reader} | {count} | {wrong[reader]} |")
    print(
        f"\n{sum(found.read.values())} mutants, {len(found.failures)} failures; slowest {found.slowest:.1f} s, ", end=""
    )
    print(f"at most {found.largest} MiB resident")
    return int(bool(found.failures))


if __name__ == "__main__":
    sys.exit(main())
