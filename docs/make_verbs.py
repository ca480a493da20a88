"""Write docs/verbs/*.md, a page a verb, from the command line's own help.

    python docs/make_verbs.py

`tests/docs/test_site.py` fails while a page differs from what this would write.
"""

from pathlib import Path

import typer

from geophone.cli import VERBS, app

FOLDER = Path(__file__).parent / "verbs"
WIDTH = 100
# What docs/blocks.py puts into the folder before a page's example, or why it does not run it.
_BEFORE = {
    "demo": "not run: minutes; .ci/run does it with fewer steps",
    "run": "not run: 20 minutes; tests/test_readme.py reads the file and parses the options",
    "prove": "not run: minutes; tests/prove trains two of its testbeds",
    "import": "given: tables",
    "measure": "given: pythia",
    "export": "given: measured",
    "netron": "given: demo",
    "evidence": "given: dug",
    "paper": "given: tested",
}


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    command = typer.main.get_command(app)
    with command.make_context("geophone", [], resilient_parsing=True, max_content_width=WIDTH) as root:
        found = {f"{verb}.md": _page(verb, command, root) for verb in VERBS}
        lines = "\n".join(
            f"| [`geophone {verb}`]({verb}.md) | {_first(command.commands[verb].help)} |" for verb in VERBS
        )
    return found | {"index.md": f"# Verbs\n\n| verb | does |\n|---|---|\n{lines}\n\n{_STATUSES}"}


_STATUSES = """Exit status 0: done. 1: done, but something failed, and stderr names it. 2: the input is not usable, and
one sentence on stderr says why. 130: stopped by Ctrl-C. A defect of geophone itself is a traceback, with status 1.

`--json` puts the result on stdout as one JSON document and nothing else; progress goes to stderr. `--quiet` leaves out
progress and words: what failed is still said. Together they give the document alone. What JSON has no word for (NaN,
infinity) is null.

`geophone --install-completion` teaches your shell to complete verbs and options (bash, zsh, fish, PowerShell);
`geophone --show-completion` only prints what it would add.
"""


def _page(verb: str, command, root) -> str:
    mine = command.commands[verb]
    with mine.make_context(verb, [], parent=root, resilient_parsing=True, max_content_width=WIDTH) as context:
        usage = context.get_help()
    text, _, example = (mine.help or "").partition("Example: ")
    return (
        f"# geophone {verb}\n\n{_prose(text)}\n\n<!-- {_BEFORE.get(verb, 'given: ranked')} -->\n"
        f"```sh\n{' '.join(example.split())}\n```\n\n`geophone {verb} --help` says:\n\n```text\n{usage.rstrip()}\n```\n"
    )


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _first(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
