"""Every block of README and docs is run by `make docs-test`; here: that none slips by, and that it sees what fails."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import typer

from geophone.cli import app

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("blocks", ROOT / "docs" / "blocks.py")
pages = importlib.util.module_from_spec(spec)
sys.modules["blocks"] = pages  # its dataclass asks for its module
spec.loader.exec_module(pages)
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages.pages()}
# A block that cannot run here says why in its page, and is listed: page, its first line, the reason's first words.
NOT_RUN = {
    ("README.md", "pip install .", "benchmarks/package.py installs the wheel"),
    ("README.md", "make demo", ".ci/run does both"),
    ("docs/how-to/cluster.md", "geophone run studies/catalogue.toml --ray auto", "minutes"),
    ("docs/how-to/exporting.md", "python look.py", "needs TransformerLens"),
    ("docs/prove-1.md", "geophone prove --out DIR", "the commands of version 0.1"),
    ("docs/prove.md", "geophone prove --out DIR", "each trains for minutes to hours"),
    ("docs/prove.md", "import geophone as gp", "trains for minutes"),
    ("docs/recording.md", "from geophone.integrations.loggers", "needs the four trackers"),
    ("docs/reliability.md", "python benchmarks/hard_days.py", "minutes to an hour"),
    ("docs/reliability.md", "python benchmarks/hard_recordings.py", "minutes to an hour"),
    ("docs/reliability.md", "python benchmarks/mutation.py", "minutes to an hour"),
    ("docs/reliability.md", "python tests/hostile/fuzz.py --mutants", "minutes to an hour"),
    ("docs/reliability.md", "python tests/hostile/fuzz.py --verbs", "minutes to an hour"),
    ("docs/verbs/demo.md", "geophone demo", "minutes"),
    ("docs/verbs/prove.md", "geophone prove", "minutes"),
    ("docs/verbs/run.md", "geophone run studies/catalogue.toml", "20 minutes"),
}


def test_what_is_not_run_is_listed_here():
    found = [(page, b.text, b.not_run) for page in TEXTS for b in pages.blocks(TEXTS[page]) if b.not_run]
    known = [all(map(str.startswith, block, listed)) for block in found for listed in NOT_RUN]
    assert sum(known) == len(found) == len(NOT_RUN), (
        "list what is not run, with its reason; take off what is run by now"
    )


@pytest.mark.parametrize("page", TEXTS)
def test_code_stands_in_fences_of_known_languages(page):
    text = TEXTS[page]
    for block in pages.blocks(text):
        assert block.language in (*pages.RUN, *pages.SHOWN), f"{page}:{block.line - 1}: {block.language!r}"
    outside = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    assert not re.search(r"^\s+```|^~~~", outside, re.M), f"{page}: a fence that is indented is not run"
    indented = re.search(r"\n\n {4}(?! *[-*\d])\S.*", outside)
    assert not indented, f"{page}: code that is indented is not run: {indented[0].strip()}"
    assert set(pages.given(text)) <= _made(), page


def _made():
    return set(re.search(r"GIVEN = .*?\(([\w, ]+)\)", (ROOT / "docs" / "given.py").read_text())[1].split(", "))


@pytest.mark.parametrize("page", TEXTS)
def test_commands_in_running_text_have_these_verbs_and_options_and_scripts_are_there(page):
    blocks = [line for b in pages.blocks(TEXTS[page]) if b.language == "sh" for line in b.text.splitlines()]
    for command in [*re.findall(r"`((?:geophone|python) [^`]+)`", TEXTS[page]), *blocks]:
        first, *words = re.sub(r"[\[\]]", " ", command.partition("  #")[0]).split()
        if first == "geophone" and words and words[0].isalpha():
            verbs = typer.main.get_command(app).commands
            assert words[0] in verbs, f"{page}: {command}"
            known = {name for p in verbs[words[0]].params for name in p.opts} | {"--help"}
            assert {w for w in words if w.startswith("--")} <= known, f"{page}: {command}"
        elif first == "python" and words[0].endswith(".py") and "/" in words[0] and "{" not in words[0]:
            assert (ROOT / words[0]).is_file(), f"{page}: {command}"


PAGE = """# A page

```python
there = 3
print(f"{there} of them")
```

```text
3 of them
```

<!-- not run: needs what nobody has -->
```python
raise RuntimeError
```

```sh
test -d nowhere || echo none  # a comment
geophone --version
```
"""


def test_a_page_that_is_right_runs_and_one_that_fails_is_named_with_its_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    pages.run_page(PAGE, "right.md")
    with pytest.raises(AssertionError, match=r"shows.md:4 prints 3 where the page shows 4"):
        pages.run_page(PAGE.replace("\n3 of them", "\n4 of them"), "shows.md")
    with pytest.raises(AssertionError, match=r"words.md:4 prints other words"):
        pages.run_page(PAGE.replace("\n3 of them", "\n3 of those"), "words.md")
    with pytest.raises(AssertionError, match=r"shell.md:18: exit status 1: test -d nowhere"):
        pages.run_page(PAGE.replace(" || echo none", ""), "shell.md")
    with pytest.raises(AssertionError, match=r"verb.md:19: exit status 2: geophone --nothing"):
        pages.run_page(PAGE.replace("--version", "--nothing"), "verb.md")
    with pytest.raises(NameError) as error:
        pages.run_page(PAGE.replace("{there}", "{their}"), "python.md")
    frame = error.traceback[-1]
    assert (Path(str(frame.path)).name, frame.lineno + 1) == ("python.md", 5)
    capsys.readouterr()


def test_what_a_comment_says_holds_for_the_next_block_alone():
    first, second, third = pages.blocks(PAGE)[0], pages.blocks(PAGE)[2], pages.blocks(PAGE)[3]
    assert (first.shown, first.line) == ("3 of them\n", 4)
    assert (first.not_run, second.not_run, third.not_run) == ("", "needs what nobody has", "")
    (saved,) = pages.blocks("<!-- saved as: train.py -->\n```python\nraise RuntimeError\n```\n")
    assert saved.saved == "train.py"
    assert pages.given("<!-- given: one, two -->\n") == ["one", "two"]
    with pytest.raises(ValueError, match="the fence at line 3 is not closed"):
        pages.blocks("text\n\n```python\n")
