"""Run every command and block of README.md and docs/ as a reader would type them.

    python docs/blocks.py [PAGE ...]

The `python` and `sh` blocks of a page run in its order in one new folder, Python in one session; a `toml` block is read
as a study file. A `text` block right after one is what that one must print (numbers to within rounding). Exit
status 1 names page and line of what fails. Comments in a page, which a reader does not see, say the rest:

    <!-- given: NAME, ... -->   anywhere: what lies in the folder before the first block (`given.py`)
    <!-- not run: REASON -->    right before a block that cannot run here (listed in tests/docs/test_blocks.py)
    <!-- saved as: FILE -->     right before a block of Python that a later command runs from that file
"""

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUN, SHOWN = ("python", "sh", "toml"), ("text",)
MOST = 300  # seconds that a page may take
_FENCE = re.compile(r"^```(\S*)\s*$")
_COMMENT = re.compile(r"<!-- (given|not run|saved as): (.+?) -->", re.S)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the page's line of its first line, its text, what is `shown` right after it, why
    it is `not_run` ("" where it is), and the file that it is `saved` as ("" where it is run)."""

    language: str
    line: int
    text: str
    shown: str | None
    not_run: str
    saved: str


def pages() -> list[Path]:
    """README and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, of every language. Raises ValueError where a fence is not closed."""
    lines, found, before = text.splitlines(), [], ""
    fences = [i for i, line in enumerate(lines) if line.startswith("```")]
    if len(fences) % 2:
        raise ValueError(f"the fence at line {fences[-1] + 1} is not closed")
    spans = list(zip(fences[::2], fences[1::2], strict=True))
    for place, (first, last) in enumerate(spans):
        fence = _FENCE.match(lines[first])
        before = "\n".join(lines[spans[place - 1][1] + 1 if place else 0 : first]).rstrip()
        said = {m[1]: " ".join(m[2].split()) for m in _COMMENT.finditer(before) if m.end() == len(before)}
        shown = None
        if place + 1 < len(spans):
            start, end = spans[place + 1]
            if lines[start] == "```text" and not "".join(lines[last + 1 : start]).strip():
                shown = "\n".join(lines[start + 1 : end]) + "\n"
        body = "\n".join(lines[first + 1 : last]) + "\n"
        language = fence[1] if fence else lines[first]
        why, file = said.get("not run", ""), said.get("saved as", "")
        found.append(Block(language, first + 2, body, shown, why, file))
    return found


def given(text: str) -> list[str]:
    """The names of what a page needs in its folder."""
    return [name.strip() for kind, names in _COMMENT.findall(text) if kind == "given" for name in names.split(",")]


def run_page(text: str, page: str) -> None:
    """Run the blocks of `text` in the current folder. Raises an AssertionError or what a block raises, the page's own
    lines in its traceback."""
    session: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(text):
        if block.language not in RUN or block.not_run:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if block.saved:
                Path(block.saved).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                # As many empty lines before it as the page has: a traceback then names the page's lines.
                exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), session)
            elif block.language == "toml":
                _study(block, page)
            else:
                _commands(block, page)
        if block.shown is not None:
            _same(printed.getvalue(), block.shown, f"{page}:{block.line}")


def _study(block: Block, page: str) -> None:
    """A `toml` block is a study file: it is read, with every option in it."""
    from geophone.study import parse_study

    parse_study(block.text, where=f"{page}:{block.line}")


def _commands(block: Block, page: str) -> None:
    for number, line in enumerate(block.text.splitlines(), block.line):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "geophone" and not set(words) & {"|", ">", "<", "&&", ";"}:
            status = geophone(words)
        else:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", line], capture_output=True, text=True)
            print(done.stdout, end="")
            print(done.stderr, end="", file=sys.stderr)
            status = done.returncode
        assert not status, f"{page}:{number}: exit status {status}: {line}"


def geophone(words: list[str]) -> object:
    """The command line in this process, which has its libraries already."""
    from geophone.cli import main

    sys.argv = words
    try:
        main()
    except SystemExit as end:
        return end.code
    return 0


def _same(printed: str, shown: str, where: str) -> None:
    words = [" ".join(_NUMBER.sub("#", text).split()) for text in (printed, shown)]
    assert words[0] == words[1], f"{where} prints other words than the page shows:\n{printed}"
    for mine, theirs in zip(*(map(float, _NUMBER.findall(text)) for text in (printed, shown)), strict=True):
        near = abs(mine - theirs) <= max(0.06, 0.05 * abs(theirs))
        assert near, f"{where} prints {mine:g} where the page shows {theirs:g}:\n{printed}"


def forked(jobs: Sequence[tuple[str, Callable[[], None]]], folder: Path, *, at_once: int) -> dict[str, tuple]:
    """(processor seconds, what went wrong or "") of every job by its name, each in a process of its own in a new
    folder `folder`/NAME; what it says on the way is written to NAME.log."""
    waiting, running, found = list(jobs), {}, {}
    while waiting or running:
        while waiting and len(running) < at_once:
            name, job = waiting.pop(0)
            if pid := os.fork():
                running[pid] = name
            else:
                _child(folder / name.replace("/", "-"), job)
        pid, status, used = os.wait4(-1, 0)
        name = running.pop(pid)
        said = (folder / f"{name.replace('/', '-')}.log").read_text(errors="replace")
        wrong = (
            "" if status == 0 else said[-6000:] if os.WIFEXITED(status) else f"killed after {MOST} s\n{said[-3000:]}"
        )
        found[name] = (used.ru_utime + used.ru_stime, wrong)
    return found


def _child(place: Path, job: Callable[[], None]) -> None:
    status = 1
    try:
        signal.alarm(MOST)
        log = os.open(f"{place}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        place.mkdir()
        os.chdir(place)
        sys.path[0:1] = [str(place), str(Path(__file__).parent)]
        job()
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)


def main() -> int:
    import given as made

    chosen = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    texts = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in chosen}
    texts = {n: t for n, t in texts.items() if any(b.language in RUN and not b.not_run for b in blocks(t))}
    os.environ |= made.ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    os.environ |= {"PYTHONPATH": f"{ROOT / 'src'}"}
    made.warm()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder, cores = Path(temporary), min(4, os.cpu_count() or 1)
        needed = list(dict.fromkeys(name for text in texts.values() for name in given(text)))
        done = forked([(name, made.GIVEN[name]) for name in needed], folder, at_once=cores)
        jobs = [(page, lambda p=page, t=text: _page(p, t, folder)) for page, text in texts.items()]
        done |= forked(jobs, folder, at_once=cores)
    for name, (seconds, wrong) in done.items():
        print(f"{seconds:6.1f} s  {name}{'  FAILED' if wrong else ''}")
    failed = {name: wrong for name, (_, wrong) in done.items() if wrong}
    for name, wrong in failed.items():
        print(f"\n{name}:\n{wrong}")
    print(f"{sum(seconds for seconds, _ in done.values()):6.1f} s  processor time in all")
    print(f"{len(texts)} pages in {time.perf_counter() - began:.0f} s, {len(failed)} failed")
    return 1 if failed else 0


def _page(page: str, text: str, folder: Path) -> None:
    import shutil

    for name in given(text):
        shutil.copytree(folder / name, ".", dirs_exist_ok=True)
    run_page(text, page)


if __name__ == "__main__":
    sys.exit(main())
