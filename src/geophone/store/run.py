"""A recorded run, opened from its folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from geophone.errors import InputError, ReplayError, StoreError
from geophone.records import Layer
from geophone.store.drawing import Drawer, Ranker, drawing, ranking
from geophone.store.inside import check_inside
from geophone.store.locks import is_held
from geophone.store.manifest import read_manifest
from geophone.store.places import RUN, SAMPLES, TOKENS
from geophone.store.tables import parts, read_parts, read_table

if TYPE_CHECKING:
    import altair as alt

    from geophone.records import Transition

Stepwise = TypeVar("Stepwise", pd.DataFrame, pd.Series)


class Run:
    """One run on disk: series, scalars, layers and, where it was trained here, the network at any step.

    Reading is lazy, and never changes the folder. `replay(run, step, model)` is how a network is had again.
    """

    def __init__(
        self, folder: Path | str, *, replay: Callable | None = None, drawer: Drawer = None, ranker: Ranker = None
    ) -> None:
        self.folder = Path(folder)
        check_inside(self.folder)
        self.manifest = read_manifest(self.folder)
        self._replay = replay
        self._drawer, self._ranker = drawer, ranker

    def __repr__(self) -> str:
        m = self.manifest
        return f"<Run {self.name}: {len(self.layers)} layers, {m.measurements} measurements, {self.status}>"

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The recorded layers, in depth order."""
        return self.manifest.layers

    def layer(self, name: str) -> Layer:
        """The layer of that name: the module's own, or the canonical one, such as "blocks.3+attention". Raises
        InputError where none is recorded."""
        called = [layer for layer in self.layers if name == layer.name]
        called += [layer for layer in self.layers if name and name == layer.canonical]
        if not called:
            there = ", ".join(layer.said for layer in self.layers[:12])
            raise InputError(f"{self.name} has no layer {name!r}; it has {there}{' ...' if self.layers[12:] else ''}.")
        return called[0]

    @property
    def dimensions(self) -> tuple[str, ...]:
        return tuple(self.manifest.definitions)

    @property
    def total_steps(self) -> int:
        """How many steps the run was meant to have; where that is not known, how many it had."""
        return int(self.manifest.about.get("total_steps", self.manifest.steps))

    @property
    def status(self) -> str:
        """The manifest's status; "interrupted" where it says "running" but nobody is writing any more."""
        if self.manifest.status == "running" and not is_held(self.folder):
            return "interrupted"
        return self.manifest.status

    @property
    def files(self) -> list[Path]:
        """The manifest, and what has been written of series and scalars."""
        return [self.folder / RUN, *parts(self.folder / "series"), *parts(self.folder / "scalars")]

    @property
    def has_series(self) -> bool:
        """Whether any measurement has reached the disk."""
        return bool(parts(self.folder / "series"))

    def table(self, *, columns: list[str] | None = None) -> pd.DataFrame:
        """Every row of the series as stored: index, step, probe, layer, depth, status, a column a dimension."""
        found = parts(self.folder / "series")
        if not found:
            raise StoreError(f"{self.folder} holds no measurement yet (status: {self.status}).")
        return read_parts(found, columns=columns)

    def series(self, dimension: str, *, probe: str = "main") -> pd.DataFrame:
        """One dimension: rows are measured steps (index `step`), columns the layers in depth order.

        Raises InputError for a dimension or a probe that this run does not have.
        """
        return self.all_series([dimension], probe=probe)[dimension]

    def all_series(self, dimensions: Sequence[str] | None = None, *, probe: str = "main") -> dict[str, pd.DataFrame]:
        """`series` of several dimensions (default: all that were recorded), in one reading of the files."""
        wanted = self.dimensions if dimensions is None else tuple(dimensions)
        for name in wanted:
            if name not in self.manifest.definitions:
                raise InputError(f"{self.name} has no dimension {name!r}; it has {', '.join(self.dimensions)}.")
        return {name: wide.astype(float) for name, wide in self._wide(wanted, probe).items()}

    def placed(self, table: Stepwise) -> Stepwise:
        """`table` (index `step`) without the steps whose weights are not their own (`manifest.misplaced`)."""
        return table[~table.index.isin(list(self.manifest.misplaced))]

    def weights(self) -> pd.DataFrame:
        """Of a run that was measured on checkpoints, what their weights are told apart by: a row per `step` and
        `tensor`, with its `size`, `digest` and some of its entries (`sample`). Raises InputError where there are
        none."""
        paths = parts(self.folder / "weights")
        if not paths:
            raise InputError(f"{self.name} holds no digests of weights: it was not measured on checkpoints.")
        return read_parts(paths)

    def heads(self) -> pd.DataFrame:
        """Of a run that was measured on checkpoints, what its attention heads do: a row per `step`, `layer` (the
        attention's path, `depth` its number) and `head`. Mean attention on random tokens that repeat, of chance about
        1 / position: `previous` to the token before, `duplicate` to the earlier same token, `induction_1` to
        `induction_4` to the token so many places after that one, `induction` the greatest of these and `offset` its
        place. `pattern_change`: total variation between what the head attends to on the probe and what it did at the
        step before, 0 to 1 (NaN at the first). Raises InputError where there are none."""
        paths = parts(self.folder / "heads")
        if not paths:
            why = self.manifest.left_out.get("heads", "it was not measured on checkpoints of a network with attention")
            raise InputError(f"{self.name} holds no scores of heads: {why}.")
        return read_parts(paths)

    def statuses(self, *, probe: str = "main") -> pd.DataFrame:
        """The status of every measurement ("ok", "dead", "nonfinite", "absent", "failed"), laid out as `series`."""
        return self._wide(("status",), probe)["status"]

    def signals(self, *, probe: str = "main") -> dict[str, pd.DataFrame]:
        """What else was recorded of every layer, by name: changes (`geophone.signals.CHANGES`; stored at the later of
        the two measurements), norms ("layer_gradient_norm" and its like) and, of experts, how many positions of the
        probe were "routed" to each. Each is laid out as `series`."""
        names = self.manifest.signals
        return {name: wide.astype(float) for name, wide in self._wide(names, probe).items()} if names else {}

    def behaviour(self) -> pd.DataFrame:
        """How well every scored sample was answered: rows are measured steps (index `step`), columns the samples in the
        order of `samples`. `manifest.behaviour["falling"]` says that lower is better. Raises InputError where nothing
        was scored."""
        return self._lists("behaviour", "labels= or behaviour=")

    def outputs(self) -> pd.DataFrame:
        """A fixed random projection of the network's outputs on the probe: rows are measured steps. Raises InputError
        where it was not recorded."""
        return self._lists("outputs", "a probe and signals=True")

    def samples(self) -> pd.DataFrame:
        """What is known of the scored samples: `sample`, its place in the probe, where there are such its `position`
        and `label`, and of a concept NAME that has classes the column "concept NAME". Raises InputError where nothing
        was scored."""
        if not self.manifest.behaviour:
            raise InputError(f"{self.name} was recorded without behaviour; pass labels= or behaviour= to the Recorder.")
        return read_table(self.folder / SAMPLES)

    def tokens(self) -> pd.DataFrame:
        """The tokens of the probe: `sample`, `position`, `token`, whether it is `real` (no padding, nothing special),
        and its `text` where that was told (`texts=`, `geophone measure --text`). Raises InputError where nothing was
        scored or the probe has no tokens."""
        self.samples()
        if not self.has_tokens:
            raise InputError(
                f"{self.name} holds no tokens: its probe has none, or it was recorded by an older version."
            )
        return read_table(self.folder / TOKENS)

    @property
    def has_tokens(self) -> bool:
        """Whether `tokens` is there to be had."""
        return bool(self.manifest.behaviour) and (self.folder / TOKENS).is_file()

    def concepts(self) -> pd.DataFrame:
        """How well each concept could be read from each layer: a row per `step`, `layer` and `concept`, with `value`,
        `shuffled` (the same of shuffled labels) and `chance`. Raises InputError where none was recorded."""
        return self._parts("concepts", "concepts=")

    def _lists(self, kind: str, wanted: str) -> pd.DataFrame:
        rows = self._parts(kind, wanted)
        if rows["step"].duplicated().any() or rows[kind].map(len).nunique() > 1:
            raise StoreError(f"{self.folder / kind} is damaged: it has one step twice, or lists of different lengths.")
        return pd.DataFrame(np.stack(list(rows[kind])), index=pd.Index(rows["step"], name="step"))

    def _parts(self, kind: str, wanted: str) -> pd.DataFrame:
        paths = parts(self.folder / kind)
        if not paths:
            raise InputError(f"{self.name} holds no {kind}; pass {wanted} to the Recorder.")
        return read_parts(paths)

    def noise(self) -> pd.DataFrame:
        """Measurement noise: rows are layers, columns dimensions, values the standard deviation of one reading's
        logarithm that comes from the choice of probe samples alone.

        sd over the steps at which both probes were read of ln(main / noise) / sqrt 2, about zero. NaN where fewer
        than 2 such steps have positive values. Raises InputError when the run has no noise probe.
        """
        names = list(self.dimensions)
        rows = self.table(columns=["step", "probe", "layer", *names]).set_index(["step", "layer"])
        both = rows[rows["probe"] == "noise"][names]
        if both.empty:
            raise InputError(f"{self.name} was recorded without a noise probe; pass noise_probe= to the Recorder.")
        main = rows[rows["probe"] == "main"][names].loc[both.index]
        ratio = np.log(main.where(main > 0) / both.where(both > 0)) / np.sqrt(2)
        grouped = (ratio**2).groupby(level="layer")
        deviation = np.sqrt(grouped.mean()).where(grouped.count() >= 2)
        return deviation.reindex([layer.name for layer in self.layers])

    def _wide(self, columns: Sequence[str], probe: str) -> dict[str, pd.DataFrame]:
        rows = self.table(columns=["step", "probe", "layer", *columns])
        rows = rows[rows["probe"] == probe]
        if rows.empty:
            raise InputError(f"{self.name} has no measurements on a probe called {probe!r}.")
        if rows.duplicated(["step", "layer"]).any():
            raise StoreError(f"{self.folder / 'series'} is damaged: it has one layer twice at one step.")
        wide = rows.pivot(index="step", columns="layer", values=list(columns))
        names = [layer.name for layer in self.layers]
        return {column: wide[column].reindex(columns=names).rename_axis(columns=None) for column in columns}

    def scalars(self) -> pd.DataFrame:
        """What the loop reported: index `step`, a column each. `index` is the measurement's number where the step
        was measured, else missing; a scalar that the loop did not give at a step is NaN."""
        found = parts(self.folder / "scalars")
        if not found:
            return pd.DataFrame({"index": np.array([], dtype=float)}, index=pd.Index([], name="step"))
        return read_parts(found).set_index("step")

    def at(self, step: int, *, model=None):
        """The network exactly as it was after `step` updates, in eval mode.

        A run that geophone trained is replayed from its nearest earlier checkpoint, bit for bit. A run of
        your own loop has only the steps that were checkpointed, and needs `model`, a network of the same shape
        to load them into. Raises ReplayError when the step cannot be had, or came out different.
        """
        if self._replay is None:
            raise ReplayError(f"{self.name} was opened without a way to replay; open it with geophone.open.")
        return self._replay(self, step, model)

    def transitions(self) -> pd.DataFrame:
        """When the run reorganised, best first: a row per transition, with rank, kind, start, peak and end (steps),
        layers in the order in which they moved, how many samples moved, a dimension from and to, size, strength,
        the two controls and a reason in one sentence. A rank is an order in which to look, not a probability; the
        initial transient stands apart at the end, without one, where there is anything else.

        Kinds: learned, lost, concept, hidden, shock, transient (see `Transition`). Raises InputError for a run of
        which nothing was recorded to rank by (imported, or by version 0.1).
        """
        return ranking(self._ranker).transition_table(self)

    def transition(self, number: int | str) -> "Transition":
        """The transition of that rank, or "transient", the initial one; its `samples` are those that moved, with
        behaviour before and after. Raises InputError where there are fewer."""
        found = ranking(self._ranker).transition(self, number)
        return replace(found, drawn=self._drawer().drawn(self, number, found)) if self._drawer else found

    def plot(
        self, what: str | None = None, *, colour: str = "layer", share: bool = False, against: "Run | None" = None
    ) -> "alt.TopLevelMixin":
        """The map of the run, or of one of its dimensions; of a scalar (such as "loss") its curve. An altair chart.

        Layers by training step on a log axis. `colour` "layer": each layer's own from its lowest to its highest value,
        "all": of all layers together; `share`: as a share of min(n - 1, d). The first transitions of the ranking are
        numbered flags where the run lies in a study with targets; the loss is beneath. `against` another run: how many
        times as great the dimension is here as there, over the layers and steps that both have; of a scalar, both
        curves on one axis. Raises InputError for a name that the run does not have, and for two runs that share none.
        """
        return drawing(self._drawer).plot_run(self, what, colour=colour, share=share, against=against)

    def _repr_html_(self) -> str | None:
        return self._drawer().run_html(self) if self._drawer else None
