"""The paper as typst source, and from there as PDF."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from geophone.errors import InputError, StoreError
from geophone.paper.formulas import FORMULAS
from geophone.paper.markup import Block, Figure, Table, Text, inline
from geophone.store.tables import replace_file

_SPECIAL = re.compile(r"[\\#$*_`<>@\[\]~/]|-(?=[-?])")
_HEADS = {"section": "=", "subsection": "=="}


def escaped(text: str) -> str:
    """`text` so that typst prints exactly it, wherever in a paragraph it stands."""
    text = _SPECIAL.sub(lambda found: "\\" + found[0], text)
    text = re.sub(r"^([ \t]*)([=+\-])", r"\1\\\2", text)
    return re.sub(r"^(\s*\d+)\.", r"\1\\.", text)


def typst_source(
    preamble: str, abstract: Sequence[Text], body: Sequence[Block], shown: Mapping[str, Figure | Table], title: Mapping
) -> str:
    """The whole source: `preamble`, title and abstract across both columns, the body, the references."""
    parts = [
        preamble.rstrip(),
        f"#show: paper.with(title: [{escaped(title['title'])}], study: [{escaped(title['study'])}], "
        f"abstract: [{_line(abstract)}])",
        *(_block(block, shown) for block in body),
        '#bibliography("references.bib", title: "References", style: "ieee")',
    ]
    return "\n\n".join(parts) + "\n"


def compiled(source: Path, out: Path) -> None:
    """Compile the typst file `source` to the PDF `out`. Raises InputError when typst is not installed, StoreError with
    typst's own words when it does not compile."""
    try:
        import typst
    except ImportError as error:
        raise InputError("the paper's PDF needs typst: pip install typst; or write LaTeX sources.") from error

    def write(temporary: Path) -> None:
        try:
            typst.compile(str(source), output=str(temporary), format="pdf")
        except RuntimeError as error:
            raise StoreError(f"typst did not compile {source}: {str(error).splitlines()[0]}.") from error

    replace_file(out, write)


def _block(block: Block, shown: Mapping[str, Figure | Table]) -> str:
    if block.kind in _HEADS:
        return f"{_HEADS[block.kind]} {_line(block.inline)}"
    if block.kind == "item":
        return f"- {_line(block.inline)}"
    if block.kind == "formula":
        return f"$ {FORMULAS[block.name].typst} $"
    if block.kind in ("figure", "table"):
        made = shown.get(block.name)
        if made is None:
            return ""
        return _figure(made) if isinstance(made, Figure) else _table(made)
    return _line(block.inline)


def _line(pieces: Sequence[Text]) -> str:
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Text) -> str:
    if piece.kind == "cite":
        return "".join(f"#cite(<{key}>);" for key in piece.text.split("\n"))
    if piece.kind == "ref":
        return f" (#ref(<{piece.text}>);)"
    if piece.kind == "emph":
        return f"#emph[{escaped(piece.text)}];"
    if piece.kind == "code":
        quoted = piece.text.replace("\\", "\\\\").replace('"', '\\"')
        return f'#raw("{quoted}");'
    return escaped(piece.text)


def _figure(figure: Figure) -> str:
    files = [f if f.endswith(".png") else f"{f}.pdf" for f in figure.files]
    if len(files) == 1:
        body = f'image("figures/{files[0]}", width: 100%)'
    else:
        tiles = ", ".join(
            f'stack(spacing: 3pt, image("figures/{file}", width: 100%), text(size: 7pt)[{escaped(label)}])'
            for file, label in zip(files, figure.labels, strict=True)
        )
        body = f"grid(columns: 1, gutter: 7pt, {tiles})"
    return f"{_float(figure)}{body}, caption: [{_line(inline(figure.caption))}]) <{figure.name}>"


def _table(table: Table) -> str:
    columns = f"({', '.join(['1fr'] + ['auto'] * (len(table.heads) - 1))})"
    align = f"({', '.join(['left'] + ['right'] * (len(table.heads) - 1))})"
    heads = ", ".join(f"[{_line(inline(head))}]" for head in table.heads)
    rows = ",\n  ".join(", ".join(f"[{_line(inline(cell))}]" for cell in row) for row in table.rows)
    body = (
        f"table(columns: {columns}, align: {align}, table.hline(stroke: 0.6pt), table.header({heads}), "
        f"table.hline(stroke: 0.4pt),\n  {rows}, table.hline(stroke: 0.6pt))"
    )
    return f"{_float(table)}{body}, caption: [{_line(inline(table.caption))}]) <{table.name}>"


def _float(shown: Figure | Table) -> str:
    scope = ', scope: "parent"' if shown.wide else ""
    kind = "table" if isinstance(shown, Table) else "image"
    return f"#figure(kind: {kind}, placement: auto{scope}, "
