"""Three cases, chosen by rule from the digs, told by what their tables hold."""

from dataclasses import dataclass
from pathlib import Path

from geophone.paper.markup import Figure, Prose
from geophone.paper.source import Source


@dataclass(frozen=True, slots=True)
class Case:
    """One case study: its title, its paragraphs, its figures (none where the study has no such run)."""

    title: Prose
    paragraphs: tuple[Prose, ...]
    figures: tuple[Figure, ...] = ()


def cases(source: Source, folder: Path) -> list[Case]:
    return []
