"""The paper as blocks, between its templates and its two forms: a small markup, and what it is read into.

A paragraph is text up to an empty line; `# ` and `## ` begin a section and a subsection, `- ` an item; `:figure NAME`
and `:table NAME` place what was made under that name, `:formula NAME` a formula. Within a line: `*emphasis*`,
`` `code` ``, `[@key; @key]` citations, `[#name]` a figure or table by its number, and a backslash before any character
that is meant as itself.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from geophone.errors import InputError

_INLINE = re.compile(
    r"\\(?P<plain>.)|\[#(?P<ref>[\w\\-]+)\]|\[(?P<cite>@[^\]]+)\]|`(?P<code>(?:\\.|[^`\\])+)`|\*(?P<emph>(?:\\.|[^*\\])+)\*",
    re.S,
)
_MEANT = re.compile(r"([\\*`\[\]@#:\-])")


class Prose(str):
    """Text that is markup already; every other string that a template prints is escaped."""


@dataclass(frozen=True, slots=True)
class Text:
    """Characters as they are: kind "text", "code", "emph", "ref" (the name of a figure or table), or "cite" (the keys,
    a line each)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """kind "section", "subsection", "paragraph", "item" (with `inline`), or "figure", "table", "formula" (`name`)."""

    kind: str
    inline: tuple[Text, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture: one file name without a suffix (vector), or PNG files, one under another, each with its label."""

    name: str
    files: tuple[str, ...]
    caption: Prose
    wide: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table: column heads and rows of markup; the first column is words, the others are figures."""

    name: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: Prose
    wide: bool = False


def meant(text: str) -> Prose:
    """`text` from outside (a name, a note) as markup that prints exactly it, on one line."""
    return text if isinstance(text, Prose) else Prose(_MEANT.sub(r"\\\1", " ".join(str(text).split())))


def code(text: str) -> Prose:
    """A name as code."""
    return Prose("`" + _MEANT.sub(r"\\\1", str(text)) + "`")


def blocks(markup: str) -> list[Block]:
    """The blocks of `markup`."""
    found: list[Block] = []
    for part in re.split(r"\n\s*\n", markup):
        lines = [line.strip() for line in part.strip().splitlines() if line.strip()]
        words: list[str] = []
        for line in lines:
            if special := _special(line):
                found += [*_paragraph(words), special]
                words = []
            elif line.startswith("- "):
                found += _paragraph(words)
                words = [line]
            else:
                words.append(line)
        found += _paragraph(words)
    return found


def inline(markup: str) -> tuple[Text, ...]:
    """The pieces of one paragraph."""
    found: list[Text] = []
    at = 0
    for match in _INLINE.finditer(markup):
        _add(found, "text", markup[at : match.start()])
        at = match.end()
        if match["plain"] is not None:
            _add(found, "text", match["plain"])
        elif match["ref"] is not None:
            found.append(Text("ref", match["ref"].replace("\\", "")))
        elif match["cite"] is not None:
            keys = [key.strip().removeprefix("@") for key in match["cite"].split(";")]
            found.append(Text("cite", "\n".join(keys)))
        else:
            kind = "code" if match["code"] is not None else "emph"
            found.append(Text(kind, re.sub(r"\\(.)", r"\1", match[kind])))
    _add(found, "text", markup[at:])
    return tuple(found)


def placed(found: Iterable[Block], shown: Collection[str]) -> list[Block]:
    """The blocks without references to figures and tables that are not `shown`."""
    return [
        replace(block, inline=tuple(p for p in block.inline if p.kind != "ref" or p.text in shown)) for block in found
    ]


def _special(line: str) -> Block | None:
    if line.startswith("## "):
        return Block("subsection", inline(line[3:]))
    if line.startswith("# "):
        return Block("section", inline(line[2:]))
    if match := re.match(r":(\w+) (\S+)$", line):
        if match[1] not in ("figure", "table", "formula"):
            raise InputError(f"the paper's templates have no :{match[1]}.")
        return Block(match[1], name=match[2].replace("\\", ""))
    return None


def _paragraph(words: list[str]) -> list[Block]:
    if not words:
        return []
    text = " ".join(words)
    return [Block("item", inline(text[2:]))] if text.startswith("- ") else [Block("paragraph", inline(text))]


def _add(found: list[Text], kind: str, text: str) -> None:
    if not text:
        return
    if found and found[-1].kind == kind:
        found[-1] = Text(kind, found[-1].text + text)
    else:
        found.append(Text(kind, text))
