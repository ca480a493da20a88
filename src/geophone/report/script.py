"""Data and drawings on their way into a page."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert

from geophone.charts.theme import AnyChart, specification


def script(name: str, value: Mapping[str, Any] | Sequence[Any]) -> str:
    """A script that puts `value` under `name`, whatever names of users it holds."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"window.{name} = " + text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + ";\n"


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows that share their keys, a list per key: a third of the size on disk."""
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}


def drawing(chart: AnyChart) -> str:
    """A chart as SVG that stands inside the page; there it needs no namespace, and the page is to name no address."""
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", vl_convert.vegalite_to_svg(json.dumps(specification(chart))))
