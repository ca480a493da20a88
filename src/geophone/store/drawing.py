"""What a run or a study asks of floors above this one: charts, and the ranker."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from geophone.errors import InputError

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from geophone.records import Drawn, Transition
    from geophone.store.run import Run
    from geophone.store.study import Study


class Drawing(Protocol):
    """Charts of runs and studies, and what a notebook shows of them."""

    def plot_run(
        self, run: "Run", what: str | None, *, colour: str, share: bool, against: "Run | None"
    ) -> "alt.TopLevelMixin": ...

    def plot_study(self, study: "Study", what: str | None, *, layer: str | None) -> "alt.TopLevelMixin": ...

    def drawn(self, run: "Run", number: int | str, transition: "Transition") -> "Drawn": ...

    def run_html(self, run: "Run") -> str: ...

    def study_html(self, study: "Study") -> str: ...


# Loads what draws when the first chart is asked for; None for what was opened without a way to draw.
Drawer = Callable[[], Drawing] | None


def drawing(drawer: Drawer) -> Drawing:
    """Raises InputError where there is none."""
    if drawer is None:
        raise InputError("this was opened without a way to draw; open it with geophone.open.")
    return drawer()


class Ranking(Protocol):
    """The transitions of a run."""

    def transition_table(self, run: "Run") -> "pd.DataFrame": ...

    def transition(self, run: "Run", number: int | str) -> "Transition": ...


Ranker = Callable[[], Ranking] | None


def ranking(ranker: Ranker) -> Ranking:
    """Raises InputError where there is none."""
    if ranker is None:
        raise InputError("this was opened without the ranker; open it with geophone.open.")
    return ranker()
