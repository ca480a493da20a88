"""Kill a study with `kill -9` at random moments, start it again each time, and compare what is there in the end.

    python benchmarks/kill.py [--kills 25] [--seed 0]
    python benchmarks/kill.py --study studies/demo.toml --until paper --kills 10
    python benchmarks/kill.py --measure --kills 20

A study of 6 short runs (or the one given) is done once without interruption. Then it is started in a new folder,
killed after a random time (half of the times the whole process group, half of the times only the main process, whose
workers must notice), and started again, until it is finished; then in another folder, until there were enough kills.
Every finished folder must hold the same as the first: tables, checkpoints, page and paper byte for byte, manifests but
for their times of day. Exit status 1 when one differs. With --measure, `geophone measure` of 40 checkpoints, one of
them torn, is killed in place of a study.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STUDY = """
name = "short"
networks = ["mlp_1_digits", "mlp_1_parity", "cnn_3_digits"]
seeds = [0, 1]
steps = 250
probe_samples = 64
"""
TIMES = ("created", "ended")


MODEL = """
from torch import nn

def build():
    block = lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(nn.Linear(32, 64), *(block() for _ in range(6)), nn.Linear(64, 10))
"""
CHECKPOINTS, TORN = 40, 17


def study_command(place: Path, study: Path | None, until: str) -> list[str]:
    """The words of a study that is done up to `until`, without where."""
    written = place / "short.toml"
    written.write_text(study.read_text() if study else STUDY)
    return ["run", str(written), "--until", until]


def measure_command(place: Path) -> list[str]:
    """The words of a measurement of checkpoints that are laid out here, without where."""
    import torch

    (place / "mynets.py").write_text(MODEL)
    sys.path.insert(0, str(place))
    import mynets

    (place / "checkpoints").mkdir()
    for step in range(CHECKPOINTS):
        torch.manual_seed(step)
        torch.save(mynets.build().state_dict(), place / "checkpoints" / f"step-{step}.pt")
    torn = place / "checkpoints" / f"step-{TORN}.pt"
    torn.write_bytes(torn.read_bytes()[:5000])
    torch.save(torch.randn(256, 32), place / "probe.pt")
    probe = str(place / "probe.pt")
    return ["measure", str(place / "checkpoints"), "--model", "mynets:build", "--probe", probe]


def start(words: list[str], folder: Path) -> subprocess.Popen:
    code = "from geophone.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "--out", str(folder)]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=folder.parents[1],
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a study by name, manifests without their times of day; locks and copies of the memo left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name == ".lock":
            continue
        if path.name == "run.json":
            manifest = {k: v for k, v in json.loads(path.read_text()).items() if k not in TIMES}
            found[name] = json.dumps(manifest, sort_keys=True).encode()
        else:
            found[name] = path.read_bytes()
    return found


def differing(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", type=Path, help="a study file in the place of the short one")
    parser.add_argument("--until", default="target", help="the last stage")
    parser.add_argument("--measure", action="store_true", help="checkpoints in the place of a study")
    arguments = parser.parse_args()
    # A torn checkpoint is said, and ends with 1.
    done = 1 if arguments.measure else 0
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as named:
        place = Path(named)
        words = measure_command(place) if arguments.measure else study_command(place, arguments.study, arguments.until)
        began = time.monotonic()
        (place / "whole").mkdir()
        if start(words, place / "whole" / "study").wait() != done:
            print("what was not interrupted failed")
            return 1
        took = time.monotonic() - began
        whole = contents(place / "whole" / "study")
        print(f"uninterrupted: {took:.0f} s, {len(whole)} files", flush=True)
        kills, finished, wrong = 0, 0, 0
        while kills < arguments.kills or not finished:
            folder, here = place / f"killed-{finished}" / "study", 0
            folder.parent.mkdir()
            while True:
                process = start(words, folder)
                last = kills >= arguments.kills
                if last or not killed(process, rng, after=rng.uniform(0, took)):
                    _, said = process.communicate()
                    if process.returncode == done:
                        break
                    print(f"after {here} kills it would not go on: {said}")
                    return 1
                kills, here = kills + 1, here + 1
            finished += 1
            other = differing(whole, contents(folder))
            wrong += bool(other)
            print(f"folder {finished}: {here} kills, {'equal' if not other else f'differs in {other[:5]}'}", flush=True)
    print(f"{kills} kills, {finished} folders finished, {wrong} differ")
    return int(wrong > 0)


def killed(process: subprocess.Popen, rng: np.random.Generator, *, after: float) -> bool:
    """Kill `process` after so many seconds; False when it ended before."""
    try:
        process.wait(timeout=after)
        return False
    except subprocess.TimeoutExpired:
        pass
    if rng.random() < 0.5:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return True


if __name__ == "__main__":
    sys.exit(main())
