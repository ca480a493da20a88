"""The paper as LaTeX source, for whoever has LaTeX: pdflatex, bibtex, pdflatex twice."""

import re
from collections.abc import Mapping, Sequence

from geophone.paper.formulas import FORMULAS
from geophone.paper.markup import Block, Figure, Table, Text, inline

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    '"': r"\textquotedbl{}", "|": r"\textbar{}", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "ρ": r"$\rho$",
    "τ": r"$\tau$", "δ": r"$\delta$", "≥": r"$\geq$", "≤": r"$\leq$", "²": r"$^2$", "–": "--", "—": "---",
    "…": r"\ldots{}", "→": r"$\to$", "·": r"$\cdot$", "≈": r"$\approx$", "Δ": r"$\Delta$", "’": "'", "\u00a0": "~",
    "\u202f": r"\,", "|r|": r"$|r|$",
}  # fmt: skip
_HEADS = {"section": "section", "subsection": "subsection"}


def escaped(text: str) -> str:
    """`text` so that LaTeX prints exactly it; a character that pdflatex has no glyph for becomes its number."""
    return re.sub(r"--+|.", lambda found: _character(found[0]), text, flags=re.S)


def _character(found: str) -> str:
    if found.startswith("--"):
        return "{-}".join([""] * len(found)) + "{-}"
    if found in _SPECIAL:
        return _SPECIAL[found]
    if found.isspace():
        return " "
    return found if " " <= found <= "~" or "\u00a1" <= found <= "\u00ff" else f"[U+{ord(found):04X}]"


def latex_source(
    preamble: str, abstract: Sequence[Text], body: Sequence[Block], shown: Mapping[str, Figure | Table], title: Mapping
) -> str:
    """The whole source: `preamble`, title, abstract, body, references."""
    head = preamble.replace("%TITLE%", escaped(title["title"])).replace("%STUDY%", escaped(title["study"]))
    parts = [head.replace("%ABSTRACT%", _line(abstract)).rstrip()]
    inside = False
    for block in body:
        if (block.kind == "item") != inside:
            parts.append(r"\end{itemize}" if inside else r"\begin{itemize}")
            inside = not inside
        parts.append(_block(block, shown))
    if inside:
        parts.append(r"\end{itemize}")
    parts += [r"\bibliographystyle{unsrt}", r"\bibliography{references}", r"\end{document}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block, shown: Mapping[str, Figure | Table]) -> str:
    if block.kind in _HEADS:
        return f"\\{_HEADS[block.kind]}{{{_line(block.inline)}}}"
    if block.kind == "item":
        return rf"\item {_line(block.inline)}"
    if block.kind == "formula":
        return f"\\[ {FORMULAS[block.name].latex} \\]"
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
        return rf"\cite{{{','.join(piece.text.split(chr(10)))}}}"
    if piece.kind == "ref":
        return rf" (\autoref{{{piece.text}}})"
    command = {"emph": "emph", "code": "texttt"}.get(piece.kind)
    return f"\\{command}{{{escaped(piece.text)}}}" if command else escaped(piece.text)


def _figure(figure: Figure) -> str:
    star = "*" if figure.wide else ""
    files = [f if f.endswith(".png") else f"{f}.pdf" for f in figure.files]
    if len(files) == 1:
        body = rf"\includegraphics[width=\linewidth]{{figures/{files[0]}}}"
    else:
        body = "\\\\[2pt]\n".join(
            f"\\includegraphics[width=\\linewidth]{{figures/{file}}}\\\\ {{\\scriptsize {escaped(label)}}}"
            for file, label in zip(files, figure.labels, strict=True)
        )
    return (
        f"\\begin{{figure{star}}}[tbp]\n\\centering\n{body}\n\\caption{{{_line(inline(figure.caption))}}}\n"
        f"\\label{{{figure.name}}}\n\\end{{figure{star}}}"
    )


def _table(table: Table) -> str:
    star = "*" if table.wide else ""
    heads = " & ".join(_line(inline(head)) for head in table.heads)
    rows = " \\\\\n".join(" & ".join(_line(inline(cell)) for cell in row) for row in table.rows)
    return (
        f"\\begin{{table{star}}}[tbp]\n\\centering\\footnotesize\n\\caption{{{_line(inline(table.caption))}}}\n"
        f"\\label{{{table.name}}}\n\\begin{{tabularx}}{{\\linewidth}}{{@{{}}X{'r' * (len(table.heads) - 1)}@{{}}}}\n"
        f"\\toprule\n{heads} \\\\\n\\midrule\n{rows} \\\\\n\\bottomrule\n\\end{{tabularx}}\n\\end{{table{star}}}"
    )
