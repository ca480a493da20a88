"""What a study found is said in `findings/` alone: page, paper and terminal hold no sentence of their own about it.

A sentence is about a finding when it has a verb of outcome (something rose, settled, was marked, ranked or dug ...) and
its words depend on the data: a value is filled into it, or it says that there was nothing. A sentence with neither is
a caption or a method, true of every study; one without such a verb is a label or a setting.
"""

import ast
import html
import re
from pathlib import Path

import pytest

import geophone

ROOT = Path(geophone.__file__).parent
ROOMS = ("report", "paper", "terminal")
OUTCOME = re.compile(
    r"\b(found|finds?|detect(s|ed)|mark(s|ed)|rank(s|ed)|settle[sd]?|rose|rises?|fell|falls?|grew|grows?|shr[au]nk|"
    r"chang(es|ed)|learn(s|ed|t)|lost|loses?|mov(es|ed)|jump(s|ed)|st(an|oo)ds? out|happen(s|ed)|show[sn]?|"
    r"differ(s|ed)?|exceed(s|ed)|correlat(e|es|ed)|predict(s|ed)|support(s|ed)|dug|noted|excite[sd]?|reach(es|ed)?|"
    r"too few|higher|lower|more than|less than|significant)\b"
)
DENIAL = re.compile(r"\b(no|nothing|none)\b", re.IGNORECASE)
VALUE = "\N{BLACK SQUARE}"
INLINE = r"</?(a|span|b|strong|em|code|mark)\b[^>]*>"
LEAST = 2  # words beside the values: "12 dug" is a label


def about_findings(text: str) -> list[str]:
    """The sentences of a text (its values as VALUE) that are about a finding."""
    sentences = (" ".join(each.split()) for each in re.split(r"(?<=[.!?;])\s+|\n\s*\n", text))
    return [
        each
        for each in sentences
        if OUTCOME.search(each) and (VALUE in each or DENIAL.search(each)) and len(re.findall(r"\w+", each)) >= LEAST
    ]


def texts_of(name: str, source: str) -> list[str]:
    """The texts that a file of that name prints, each value that is filled in as VALUE."""
    return {".py": python, ".j2": jinja, ".js": javascript, ".typ": typst}[Path(name).suffix](source)


def python(source: str) -> list[str]:
    """Every string but docstrings, what is raised (an error is no finding) and where a quantity was read."""
    tree, skipped = ast.parse(source), set()
    for node in ast.walk(tree):
        called = getattr(node, "func", None)
        traced = str(getattr(called, "attr", getattr(called, "id", ""))).lower() == "quantity"
        if (
            traced
            or isinstance(node, ast.Raise)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ):
            skipped |= {id(part) for part in ast.walk(node)}
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
    strings = [node for node in ast.walk(tree) if id(node) not in skipped]
    plain = [n.value for n in strings if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    filled = [
        "".join(str(p.value) if isinstance(p, ast.Constant) else VALUE for p in n.values)
        for n in strings
        if isinstance(n, ast.JoinedStr)
    ]
    return [re.sub(r"\{[a-z_]\w*\}", VALUE, text) for text in plain + filled]


def jinja(source: str) -> list[str]:
    """What stands between tags of HTML that begin a block, what their attributes say, and the literals of
    expressions, which stand for themselves unless something is joined to them."""
    literals = []
    for expression in re.findall(r"\{\{(.*?)\}\}", source, flags=re.DOTALL):
        said = [a or b for a, b in re.findall(r"\"([^\"]*)\"|'([^']*)'", expression)]
        literals += [VALUE.join(["", *said, ""])] if "~" in expression else said
    text = re.sub(r"\{%.*?%\}", " ", re.sub(r"\{\{.*?\}\}", VALUE, source, flags=re.DOTALL), flags=re.DOTALL)
    attributes = re.findall(r"(?:aria-label|alt|title)=\"([^\"]*)\"", text)
    blocks = re.split(r"<[^>]*>", re.sub(INLINE, "", text))
    return [html.unescape(each) for each in (*blocks, *attributes, *literals)]


def javascript(source: str) -> list[str]:
    strings = re.findall(r"`((?:[^`\\]|\\.)*)`|\"((?:[^\"\\\n]|\\.)*)\"", re.sub(r"(?m)^\s*//.*$", "", source))
    return [re.sub(r"\$\{[^}]*\}", VALUE, a or b) for a, b in strings]


def typst(source: str) -> list[str]:
    """The paper's own words. A finding that stands alone is a sentence of `findings/` and ends the one before; one that
    is a part of a sentence is a value. The numbers of a rule are settings."""
    prose = re.sub(r"(?m)//.*$", "", source)[source.index("#align(center)") :]
    prose = re.sub(r"#said\(\"rule/[^)]*\)", "", re.sub(r"\w+: none", "", prose))
    alone = r"(?<=[.*\]})\[{\n])\s*#?said\([^)]*\)(?=\s*(?:[#\n\]}]|[A-Z*(]))"
    for _ in range(2):  # the end of one may be the beginning of the next
        prose = re.sub(alone, ".\n\n", prose)
    return re.split(r"\n\s*\n", re.sub(r"#?said\([^)]*\)", VALUE, prose))


SOURCES = sorted(
    path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".j2", ".js", ".typ")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_sentence_about_a_finding_stands_outside_of_findings(path):
    found = [said for text in texts_of(path.name, path.read_text(encoding="utf-8")) for said in about_findings(text)]
    assert found == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.html.j2", "<p>In <b>{{ run }}</b>, {{ n }} layers settled first.</p>"),
        ("a.html.j2", "<h2>{% if rows %}{{ rows|length }} runs{% else %}No run settled in order{% endif %}</h2>"),
        ("a.html.j2", '<h2>{{ "Nothing stood out" if not rows else rows[0].label }}</h2>'),
        ("a.html.j2", '<img alt="{{ layer }} rose {{ fold }}-fold">'),
        ("a.html.j2", '{{ chart("map", "Map: the rank of " ~ layer ~ " rose.") }}'),
        ("a.js", "const said = `${layer} rose from ${a} to ${b}`;"),
        ("a.js", 'const said = "Nothing happened here.";'),
        ("a.py", 'said = f"The rank of {layer} fell to {value:.2f}."'),
        ("a.py", 'said = "The rank of {layer} fell.".format(layer=layer)'),
        ("a.py", 'print("No layer jumped.")'),
        ("a.typ", '#align(center)[] We find that #said("summary/order").'),
        ("a.typ", '#align(center)[]\n#said("jumps/naive") In this study nothing was found.'),
    ],
)
def test_a_sentence_about_a_finding_is_seen_in_every_kind_of_file(name, source):
    assert any(about_findings(text) for text in texts_of(name, source))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.html.j2", "<p>A flag opens its transition; {{ n }} layers, {{ m }} measurements.</p>"),
        ("a.html.j2", "<p>A unit has a type when its index exceeds the 95th percentile.</p><p>{{ n }} units</p>"),
        ("a.html.j2", "<p>{{ finding.sentence }}</p><p>{{ n }} dug</p>"),
        ("a.py", 'raise InputError(f"{path} holds nothing that was found")'),
        ("a.py", '"""What was found: nothing."""\nsource = Quantity(n, "", f"run={run}: sum of detected")'),
        ("a.typ", '#align(center)[]\n#said("jumps/naive") #said("types/naive") Layers are ablated one by one.'),
    ],
)
def test_a_label_a_method_an_error_and_a_finding_of_its_own_are_none(name, source):
    assert not any(about_findings(text) for text in texts_of(name, source))
