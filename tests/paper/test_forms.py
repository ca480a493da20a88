"""What is written reaches both forms as it was meant."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import NASTY

from geophone.errors import InputError
from geophone.paper import latex_form, typst_form, write_paper
from geophone.paper.markup import Text, blocks, code, inline, meant

typst = pytest.importorskip("typst")
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


def set_by_typst(source: str, folder) -> str:
    """The words that typst makes of `source`."""
    path = folder / "words.typ"
    path.write_text('#set smartquote(enabled: false)\n#set text(lang: "en")\n' + source)
    page = typst.compile(str(path), format="html").decode()
    return html.unescape(re.sub(r"<[^>]+>", "", re.search(r"<body>(.*)</body>", page, re.S)[1])).strip()


@settings(max_examples=300, deadline=None)
@given(PLAIN)
def test_escaped_markup_is_the_text_itself(text):
    expected = " ".join(text.split())
    assert "".join(piece.text for piece in inline(meant(text))) == expected
    assert all(block.kind == "paragraph" for block in blocks(meant(text)))
    if expected:
        assert inline(code(text.strip() or "x"))[0].kind == "code"


@pytest.mark.parametrize(
    "text", [NASTY, "= no heading", "- no item", "+ none", "/ term: none", "1. none", "a // no comment", "a /* b",
             "https://example.org", "#panic()", "a <label> @ref", "x -? y", "$x$ _y_ *z*", "[a](b)", "a ~ b"],
)  # fmt: skip
def test_typst_prints_exactly_what_it_was_given(tmp_path, text):
    assert set_by_typst(typst_form.escaped(text), tmp_path) == text


def test_the_words_of_every_kind_are_set(tmp_path):
    source = typst_form._line([Text("text", "a "), Text("emph", "b_"), Text("text", "(c) "), Text("code", 'd"\\#')])
    assert set_by_typst(source, tmp_path) == 'a b_(c) d"\\#'


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_latex_never_sees_a_special_character_bare(text):
    made = latex_form.escaped(text)
    bare = re.sub(r"\\(?:[{}$&#%_]|[A-Za-z]+)|\$[^$]*\$|\[U\+[0-9A-F]+\]", "", made)
    assert not re.search(r"[$&#%_^\\]", bare)
    assert balanced(re.sub(r"\\[{}]", "", made))
    assert all(c == "~" or " " <= c <= "~" or "\u00a1" <= c <= "\u00ff" for c in made)


def balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def test_the_latex_sources_are_whole(study):
    path = write_paper(study, form="latex")
    text = path.read_text()
    assert balanced(re.sub(r"\\[{}]", "", text))
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{([\w*]+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    assert latex_form.escaped(NASTY) in text and r"m\$l\_p\#*" in text
    pictures = re.findall(r"\\includegraphics\[[^]]*\]\{([^}]+)\}", text)
    assert len(pictures) >= 4
    for picture in pictures:
        assert (path.parent / picture).read_bytes().startswith(b"%PDF")
    keys = set(re.findall(r"@\w+\{(\w+),", (path.parent / "references.bib").read_text()))
    assert {k for found in re.findall(r"\\cite\{([^}]+)\}", text) for k in found.split(",")} == keys
    for rows in re.findall(r"\\begin\{tabularx\}\{\\linewidth\}\{@\{\}X(r+)@\{\}\}(.*?)\\end\{tabularx\}", text, re.S):
        for row in re.findall(r"^(.*?) \\\\$", rows[1], re.M):
            assert len(re.findall(r"(?<!\\)&", row)) == len(rows[0])


def test_a_word_that_begins_no_known_block_is_refused():
    with pytest.raises(InputError, match="no :picture"):
        blocks(":picture heatmaps")
