"""Colours, type and words that all charts share. Nothing else in the project names a colour of a chart."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import altair as alt
import numpy as np
import pandas as pd

# Okabe & Ito (2008), told apart with any common colour vision; yellow and black left out for light and dark pages.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ACCENT = PALETTE[1]
OTHER = PALETTE[0]  # of two runs the one beside
# Dashes and shapes differ too, so that nothing hangs on colour alone.
STROKES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
FORMS = {"naive": "circle", "calibrated": "diamond"}
# Nine colours of viridis (van der Walt & Smith 2015) and the end.
VIRIDIS = ("440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")
GREY = "#808080"
FRACTIONS = ("mean_fraction", "dead_fraction")

AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Theme:
    """How a chart is dressed: `ink` for words, `soft` for axes and their words, `line` for grids; sizes in pixels."""

    ink: str
    soft: str
    line: str
    paper: str | None
    font: str = "system-ui, sans-serif"
    size: float = 12
    title_size: float = 14


# For a ground that the drawing cannot know (light or dark): words and lines of one grey.
# It is measured where it is drawn and set where it is read: in a font whose letters are as wide on both.
BLANK = Theme(ink=GREY, soft=GREY, line="#80808040", paper=None, font="Arial, Liberation Sans, Arimo, sans-serif")
PAGE = Theme(ink="#1a1e23", soft="#59636e", line="#dfe3e8", paper="#ffffff")
PRINT = Theme(ink="#222222", soft="#222222", line="#e4e4e4", paper=None, font="sans-serif", size=9.5, title_size=10)


def styled(
    chart: AnyChart, theme: Theme = PAGE, *, title: str = "", description: str = "", extent: int = 0
) -> AnyChart:
    """`chart` in `theme`, with its finding as a title (broken into lines) and a text alternative; `extent` is the width
    that all its y axes take, so that charts below each other share their x axis."""
    words: Row = {"labelColor": theme.soft, "titleColor": theme.soft, "labelFontSize": theme.size,
                  "titleFontSize": theme.size, "titleFontWeight": "normal"}  # fmt: skip
    heading: Row = {"fontWeight": "normal", "anchor": "start", "color": theme.ink, "fontSize": theme.title_size}
    config: Row = {
        "background": theme.paper or "transparent", "font": theme.font, "padding": 2, "view": {"stroke": None},
        "legend": words, "title": heading,
        "axis": {**words, "gridColor": theme.line, "domainColor": theme.soft, "tickColor": theme.soft},
        "header": {"labelColor": theme.ink, "titleColor": theme.soft, "labelFontSize": theme.size},
    }  # fmt: skip
    if extent:
        config["axisY"] = {"minExtent": extent, "maxExtent": extent}
    given: Row = {"config": config}
    if title:
        given["title"] = alt.TitleParams(textwrap.wrap(title, 92), frame="bounds", **heading)
    if description:
        given["description"] = description
    return chart.properties(**given)


def specification(chart: AnyChart) -> Row:
    """`chart` as a Vega-Lite specification. What a chart is made of was checked by the tests, not here."""
    return dict(chart.to_dict(validate=False))


class PlainRows:
    """Rows of a table that Altair takes as they are: it would look at every value, again for every part of a chart."""

    _schema: ClassVar[dict[str, Any]] = {"type": "array"}

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def to_dict(self, *args: object, **options: object) -> list[Row]:
        return self.rows


def data(frame: pd.DataFrame | Iterable[Row]) -> alt.Data:
    """Rows that stand in the specification itself, whatever their number."""
    return alt.Data(values=PlainRows(records(frame) if isinstance(frame, pd.DataFrame) else list(frame)))


def records(table: pd.DataFrame) -> list[Row]:
    """Rows of plain JSON values, numbers to 5 digits; a missing value or NaN becomes null, which charts show as a
    gap."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): _plain(value) for key, value in row.items()} for row in plain.to_dict("records")]


def five_digits(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _plain(value: object) -> object:
    if isinstance(value, float | np.floating):
        return five_digits(float(value))
    return int(value) if isinstance(value, np.integer) else value


def colours(names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=[PALETTE[i % len(PALETTE)] for i in range(len(names))])


def dashes(names: Sequence[str]) -> alt.Scale:
    """A dash per name, which changes when the palette begins again."""
    return alt.Scale(domain=list(names), range=[STROKES[i // len(PALETTE) % len(STROKES)] for i in range(len(names))])


def shapes(names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=[SHAPES[i % len(SHAPES)] for i in range(len(names))])


def plain(name: str) -> str:
    """The name of a dimension or a statistic as a reader would say it."""
    return name.replace("_", " ").replace("pcs 90", "components for 90 % of the variance")


def unit(dimension: str) -> str:
    return "share, 0 to 1" if dimension in FRACTIONS else "directions"


def shortened(names: Sequence[str], width: int = 20) -> dict[str, str]:
    """Each of `names` in at most about `width` characters, all different.

    What all names begin with goes first ("bert.encoder." of every layer), then letters in the middle of the longest
    part between dots; numbers stay. A name that would be another's twin keeps itself whole.
    """
    parts = {name: name.split(".") for name in names}
    shared = 0
    if any(len(name) > width for name in names) and len(names) > 1:
        least = min(len(part) for part in parts.values())
        while shared < least - 1 and len({part[shared] for part in parts.values()}) == 1:
            shared += 1
    short = {name: _squeezed(part[shared:], width) for name, part in parts.items()}
    twins = {value for value in short.values() if list(short.values()).count(value) > 1}
    return {name: name if value in twins else value for name, value in short.items()}


def _squeezed(parts: list[str], width: int) -> str:
    parts = list(parts)
    while len(".".join(parts)) > width:
        longest = max(range(len(parts)), key=lambda i: len(parts[i]) - 99 * parts[i].isdigit())
        part = parts[longest].replace("…", "")
        if len(part) <= 4 or part.isdigit():
            break
        keep = len(part) - 1
        parts[longest] = f"{part[: (keep + 1) // 2]}…{part[len(part) - keep // 2 :]}"
    return ".".join(parts)
