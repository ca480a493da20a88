"""From a finished study to its paper: look up, write, set."""

import json
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from geophone.errors import InputError
from geophone.paper import closing, exhibits, front, ground, words
from geophone.paper import results as phase1
from geophone.paper.cases import Case, cases
from geophone.paper.latex_form import latex_source
from geophone.paper.lookup import Numbers
from geophone.paper.markup import Block, Figure, Prose, Table, blocks, inline, meant, placed
from geophone.paper.source import Source
from geophone.paper.typst_form import compiled, typst_source
from geophone.store.folders import replace_folder
from geophone.store.study import Study
from geophone.store.tables import write_text

FORMS = ("pdf", "latex")
TITLE = "Layer-Wise Representational Dynamics: Using Dimensionality Measurements to Guide Mechanistic Analysis"
BODY = ("introduction", "methods", "results", "cases", "discussion", "appendix")


def write_paper(study: Study, *, form: str = "pdf", prove: Path | None = None) -> Path:
    """Write the paper of `study` into its folder `paper/` and return the path of paper.pdf or paper.tex.

    Every number is looked up by name in statistics.json or a table of the study and kept, with its source, in
    paper/numbers.json; sentences follow from verdicts by fixed rules. form "pdf" sets it with typst (paper.typ, figures
    as SVG and PDF, references.bib, paper.pdf); "latex" writes paper.tex in place of paper.typ, for pdflatex and
    bibtex. `prove` is the folder of a proving ground's tables (default: `prove/` in the study, where there is one). An
    older `paper/` is replaced once the new one is whole.

    Raises InputError for another form, StoreError naming what is missing when a number or a table is not there.
    """
    if form not in FORMS:
        raise InputError(f"form={form!r}: give {' or '.join(map(repr, FORMS))}.")
    inside = study.places.prove
    source = Source(study, Numbers.of(study), prove or (inside if inside.is_dir() else None))
    with replace_folder(study.places.paper) as work:
        name = _written(source, work, form)
    return study.places.paper / name


def _written(source: Source, work: Path, form: str) -> str:
    drawn = work / "figures"
    told = cases(source, drawn)
    shown = {each.name: each for each in [*_exhibits(source, drawn), *(f for case in told for f in case.figures)]}
    context = said(source, told)
    environment = Environment(
        loader=PackageLoader("geophone.paper"), undefined=StrictUndefined, trim_blocks=True, finalize=meant
    )
    body: list[Block] = []
    for name in BODY:
        body += placed(blocks(environment.get_template(f"{name}.md.j2").render(context)), shown)
    abstract = inline(" ".join(environment.get_template("abstract.md.j2").render(context).split()))
    title = {"title": TITLE, "study": _subtitle(source)}
    write_text(work / "references.bib", _template("references.bib"))
    write_text(work / "numbers.json", json.dumps(source.numbers.used, indent=1, ensure_ascii=False) + "\n")
    if form == "latex":
        write_text(work / "paper.tex", latex_source(_template("preamble.tex"), abstract, body, shown, title))
        return "paper.tex"
    write_text(work / "paper.typ", typst_source(_template("preamble.typ"), abstract, body, shown, title))
    compiled(work / "paper.typ", work / "paper.pdf")
    return "paper.pdf"


def _subtitle(source: Source) -> str:
    return f"Study {source.name}, written from its own tables by geophone"


def _template(name: str) -> str:
    return (files("geophone.paper") / "templates" / name).read_text(encoding="utf-8")


def _exhibits(source: Source, folder: Path) -> list[Figure | Table]:
    made: list[Figure | Table | None] = [
        exhibits.heatmaps(source, folder), exhibits.order_strip(source, folder), exhibits.order_table(source),
        exhibits.rates(source, folder), exhibits.scatter(source, folder), exhibits.changes(source),
        exhibits.correlations(source, folder), exhibits.coupling(source, folder), exhibits.recovered(source, folder),
        exhibits.architectures(source), exhibits.roster(source), ground.figure(source, folder),
    ]  # fmt: skip
    return [each for each in made if each is not None]


def said(source: Source, told: list[Case]) -> dict:
    """What the templates print, by name."""
    return {**_framed(source), **_found(source), "cases": told}


def _framed(source: Source) -> dict:
    n = source.numbers
    rules = {"bar_order": (0.6, ".1f"), "bar_none": (0.3, ".1f"), "bar_z": (2, "")}
    return {
        "networks": front.networks(source), "architectures": front.architectures(source), "seeds": front.seeds(source),
        "tasks": front.tasks(source), "steps": front.steps(source), "training": front.training(source),
        "every": front.every(source), "measurements": front.measurements(source), "layers": front.layers(source),
        "rows": front.rows(source), "dimension": source.dimension.replace("_", " "),
        "surrogates": front.surrogates(source), "dig_options": front.dig_options(source),
        "recovered": front.recovered(source), "alpha": n.show("alpha", n.fact("alpha"), ".2f"),
        "draws": n.show("draws", n.fact("draws")), "modes": " and ".join(n.fact("study/modes")) or "naive",
        **{name: n.show(name, value, form, source="definition") for name, (value, form) in rules.items()},
        "limitations": front.limitations(source), "reading": closing.reading(source),
        "conclusion": closing.conclusion(source), "proving_meaning": closing.proving_meaning(source),
        "proving_short": closing.proving_short(source), "order": front.abstract_order(source),
        "criteria": front.criteria(source), "change": front.change_found(source), 
        "jumps_short": phase1.jumps_short(source),
    }  # fmt: skip


def _found(source: Source) -> dict:
    n = source.numbers
    universal, specific = words.lists(n)
    counts = {key: len(n.fact(f"architectures/{name}")) for key, name in
              (("undecided", "undecided"), ("short", "not_enough_data"))}  # fmt: skip
    return {
        "order_seed": phase1.order_counts(source, "naive"), "order_calibrated": phase1.order_counts(source,
        "calibrated"),
        "settled_seed": phase1.settled(source, "naive"), "settled_calibrated": phase1.settled(source, "calibrated"),
        "order_direction": phase1.order_direction(source),
        "expectation_seed": phase1.expectation(source, "naive"), 
        "expectation_calibrated": phase1.expectation(source, "calibrated"),
        "jumps": phase1.jumps(source), "types": phase1.types(source),
        "diversity": words.question(n, "diversity/naive", "diversity/pearson", "*r*"),
        "smallest_diversity": words.smallest(n, "diversity/pearson", "a correlation"),
        "selectivity": words.question(n, "selectivity/naive", "selectivity/did", "change", form="+.3f"),
        "drift": words.drift(n),
        "depth": words.question(n, "depth/naive", "depth/in-sample", "*R*²"),
        "left_out": words.left_out(n),
        "changes": words.changes(n), "correlations": words.correlations(n),
        "periods": phase1.periods(source), "coordination": phase1.coordination(source),
        "loss_coupling": phase1.loss_coupling(source), "recovery": phase1.recovery(source),
        "abstract_recovery": front.abstract_recovery(source),
        "universal": universal, "specific": specific,
        **{key: Prose(n.show(f"findings, {key}", value)) for key, value in counts.items()},
        "proving": ground.paragraph(source),
    }  # fmt: skip
