"""Do the tests notice when the code is wrong? Mutation testing by mutmut, room by room.

A room's modules are changed in one place at a time (a constant, an operator, an argument left out, a text), and the
room's own fast tests run until one fails. Everything happens in a copy of the tree, never in the checkout:

    python benchmarks/mutation.py dimensions record dig --sample 200 --folder /somewhere/else

Prints a table with 95 % Wilson intervals, and writes the survivors' changes to FOLDER/ROOM/survivors.txt. `--sample`
draws that many mutants of a room with `--seed`; 0 takes all. Needs `pip install mutmut "pytest<9"` (3.8, which reads
what newer ones have not) and one core. Tests that start processes of their own are left out, since a process that
mutmut did not start knows nothing of mutants; so are the two modules that only they test, `record/behind.py` and
`record/distributed.py`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
ROOMS = {
    room: (f"src/geophone/{room}/*", (f"tests/{room}",))
    for room in (
        "dimensions", "detect", "stats", "signals", "store", "point", "evidence", "findings", "study",
        "report",
    )
} | {
    "record": ("src/geophone/record/[!bd]*", ("tests/record",)),
    "dig": ("src/geophone/dig/*", ("tests/dig", "tests/study/test_census.py")),
    "phenomena": ("src/geophone/phenomena/*", ("tests/phenomena", "tests/detect", "tests/point/test_naive.py")),
    "targeting": ("src/geophone/prove/targeting.py", ("tests/prove/test_targeting.py",)),
}  # fmt: skip
SETTINGS = '''\
[tool.pytest.ini_options]
addopts = """-q -m 'not slow and not browser' --strict-markers -p no:cacheprovider
  -k 'not killed and not sharded and not data_parallelism' --ignore=tests/record/test_behind.py"""
pythonpath = ["tests", "benchmarks"]
timeout = 300
markers = ["slow: takes minutes", "browser: drives a real browser"]
filterwarnings = ["error::RuntimeWarning:geophone"]

[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{source}"]
pytest_add_cli_args_test_selection = {tests}
also_copy = ["benchmarks", "docs"]
use_git_change_detection = false
timeout_constant = 2.0
timeout_multiplier = 3.0
'''
# What mutmut stores: pytest's own status 1 and any crash or time-out are deaths, 0 is survival, 33 means that no
# test of the room calls the function.
SURVIVED, UNTESTED = 0, 33


def mutmut(folder: Path, *words: str) -> str:
    """What mutmut says in `folder`; its exit status is not one of the mutants'."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=folder, env=environment, text=True, capture_output=True
    )
    return done.stdout + done.stderr


def prepare(folder: Path, room: str) -> list[str]:
    """Copies the tree to `folder` and makes the room's mutants there; returns their names."""
    source, tests = ROOMS[room]
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("src", "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").write_text(SETTINGS.format(source=source, tests=json.dumps(tests)))
    said = mutmut(folder, "run", "--max-children", "1", "no.such.mutant")
    if "nothing matches" not in said:
        raise SystemExit(f"mutmut could not prepare {room}:\n{said[-2000:]}")
    return sorted(results(folder))


def results(folder: Path) -> dict[str, int | None]:
    """The status of every mutant in `folder`; None where it has not run."""
    found = {}
    for path in (folder / "mutants").rglob("*.meta"):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def wilson(count: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    share, room = count / n, z * z / n
    middle = (share + room / 2) / (1 + room)
    reach = z / (1 + room) * np.sqrt(share * (1 - share) / n + room / (4 * n))
    return middle - reach, middle + reach


def run_room(room: str, folder: Path, *, sample: int, seed: int) -> str:
    """One row of the table; survivors are written beside the copy."""
    began = time.perf_counter()
    names = prepare(folder, room)
    drawn = names
    if 0 < sample < len(names):
        drawn = sorted(np.random.default_rng(seed).choice(names, size=sample, replace=False).tolist())
    said = mutmut(folder, "run", "--max-children", "1", *drawn)
    found = results(folder)
    missing = [n for n in drawn if found[n] is None]
    if missing:
        raise SystemExit(f"{len(missing)} mutants of {room} did not run:\n{said[-2000:]}")
    alive = [n for n in drawn if found[n] in (SURVIVED, UNTESTED)]
    texts = [f"{n}{' (no test calls it)' * (found[n] == UNTESTED)}\n{mutmut(folder, 'show', n)}" for n in alive]
    (folder / "survivors.txt").write_text("\n".join(texts))
    killed, low_high = len(drawn) - len(alive), wilson(len(drawn) - len(alive), len(drawn))
    minutes = (time.perf_counter() - began) / 60
    return (
        f"| {room} | {len(names)} | {len(drawn)} | {killed} | {killed / len(drawn):.1%} | "
        f"{low_high[0]:.1%} to {low_high[1]:.1%} | {minutes:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutation testing, room by room.")
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []], default=[])
    parser.add_argument("--sample", type=int, default=200, help="mutants per room; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--folder", type=Path, help="where the copies go (a temporary folder)")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="mutation-"))
    print(
        "| room | mutants | run | killed | share | 95 % interval | minutes |\n|---|---|---|---|---|---|---|", flush=True
    )
    for room in chosen.rooms or ROOMS:
        print(run_room(room, folder / room, sample=chosen.sample, seed=chosen.seed), flush=True)
    print(f"survivors: {folder}/*/survivors.txt")


if __name__ == "__main__":
    main()
