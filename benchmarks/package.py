"""What somebody who installs geophone gets: a wheel and an sdist are built, the wheel is installed in an empty
environment, and there README's loop runs twice, a folder of checkpoints is measured, and the command line answers.

python benchmarks/package.py [--python python3.12] [--keep FOLDER]

Exit status 1 where any of it fails. Times are processor seconds, the median of five.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
CHECKPOINTS = """
import torch
from mine import build

torch.manual_seed(0)
network = build()
optimizer = torch.optim.Adam(network.parameters(), 3e-3)
probe = torch.randn(64, 8)
torch.save(probe, "probe.pt")
for step in range(1, 41):
    x = torch.randn(64, 8)
    loss = torch.nn.functional.cross_entropy(network(x), (x[:, 0] > 0).long())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        torch.save(network.state_dict(), f"checkpoints/step{step}.pt")
"""
MODEL = """
import torch


def build():
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
"""
READ = """
import geophone as gp

series = gp.open("measured").series("stable_rank")
assert list(series.index) == [10, 20, 30, 40], series
assert list(series.columns) == ["0", "2"], series
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the empty environment")
    parser.add_argument("--keep", type=Path, help="a new folder to do it in, kept afterwards")
    given = parser.parse_args()
    if given.keep is not None:
        given.keep.mkdir(parents=True)
        check(given.keep.resolve(), given.python)
        return
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder), given.python)


def check(folder: Path, python: str) -> None:
    """All of it in `folder`, which is empty. Raises CalledProcessError or AssertionError for what does not hold."""
    wheel = built(folder / "dist")
    run([python, "-m", "venv", folder / "venv"], folder)
    bin_ = folder / "venv" / "bin"
    run([bin_ / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel], folder)
    loop(folder / "loop", bin_)
    checkpoints(folder / "measure", bin_)
    for words, most in ((["--help"], 0.3), (["--version"], 0.3), (["doctor"], 1.0)):
        seconds = median(cost([bin_ / "geophone", *words], folder) for _ in range(5))
        print(f"geophone {' '.join(words)}: {seconds:.2f} s")
        assert seconds < most, f"geophone {words[0]} takes {seconds:.2f} s, more than {most}"


def built(folder: Path) -> Path:
    """The wheel, made from the sdist, so that neither can lack a file."""
    run([sys.executable, "-m", "build", "--outdir", folder, ROOT], ROOT)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB; {sdist.name}: {sdist.stat().st_size / 1e6:.2f} MB")
    return wheel


def loop(folder: Path, bin_: Path) -> None:
    """README's loop, word for word, twice in one folder."""
    folder.mkdir()
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    (folder / "loop.py").write_text(code, encoding="utf-8")
    for _ in range(2):
        run([bin_ / "python", "loop.py"], folder)
    assert len(list((folder / "runs").iterdir())) == 2
    print("README's loop: ran twice")


def checkpoints(folder: Path, bin_: Path) -> None:
    """`geophone measure` on a folder of four checkpoints."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "mine.py").write_text(MODEL, encoding="utf-8")
    run([bin_ / "python", "-c", CHECKPOINTS], folder)
    words = ["checkpoints", "--model", "mine:build", "--probe", "probe.pt", "--out", "measured"]
    run([bin_ / "geophone", "measure", *words], folder)
    run([bin_ / "python", "-c", READ], folder)
    print("geophone measure: four checkpoints, two layers")


def run(words: list, folder: Path) -> None:
    """A command with nothing of this environment's Python in it; what it prints is shown only where it fails."""
    done = subprocess.run([str(w) for w in words], cwd=folder, env=_bare(), capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
    done.check_returncode()


def cost(words: list, folder: Path) -> float:
    """Processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(words, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _bare() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


if __name__ == "__main__":
    main()
