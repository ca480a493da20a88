"""A first figure in four statements, and errors that say what there is."""

import json
import math
import shutil

import pytest
import torch
import vl_convert

import geophone
from geophone.errors import InputError
from geophone.store.run import Run
from geophone.store.tables import read_table, write_table

STUDY = __import__("pathlib").Path(__file__).parents[1] / "archives" / "format-1" / "study"


def test_four_statements_from_import_to_a_figure():
    import geophone as gp

    run = gp.open(STUDY / "runs" / "mlp_1_parity-seed0")
    chart = run.plot()
    svg = vl_convert.vegalite_to_svg(json.dumps(chart.to_dict()))

    assert "mlp_1_parity-seed0" in svg and ">loss<" in svg


def test_a_dimension_a_scalar_and_all_runs_can_be_asked_for():
    study = geophone.open(STUDY)
    run = study.runs[0]
    name = run.dimensions[1]
    assert name.replace("_", " ") in json.dumps(run.plot(name).to_dict())
    assert len(run.plot("loss").to_dict()["layer"]) == 1
    assert run.plot(colour="all", share=True).to_dict()["vconcat"]
    assert study.plot().to_dict()["vconcat"]
    layer = run.layers[0].name
    assert layer in json.dumps(study.plot(layer=layer).to_dict())


def other_run(folder, factor):
    """The archived run under another name, its stable rank `factor` times as great in the first layer."""
    copied = shutil.copytree(STUDY / "runs" / "mlp_1_parity-seed0", folder / "runs" / "other")
    document = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(document | {"name": "other"}))
    for part in (copied / "series").glob("*.parquet"):
        table = read_table(part)
        table.loc[table["depth"] == 0, "stable_rank"] *= factor
        write_table(part, table)
    return geophone.open(copied)


def test_two_runs_stand_on_one_axis_and_the_difference_of_their_maps_is_that_of_their_values(tmp_path):
    run, other = geophone.open(STUDY).runs[0], other_run(tmp_path, 4.0)
    curves = run.plot("loss", against=other).to_dict()["data"]["values"]
    assert {row["name"] for row in curves} == {run.name, "other"}
    spec = run.plot("stable_rank", against=other).to_dict()
    first = run.layers[0].name
    rows = spec["data"]["values"]
    assert {row["layer"] for row in rows} == {layer.name for layer in run.layers}
    for row in rows:
        assert row["apart"] == (None if row["apart"] is None else pytest.approx(-2 if row["layer"] == first else 0))
    ends = {param["name"]: param["value"] for param in spec["params"]}
    assert ends["most"] == pytest.approx(2) and spec["encoding"]["color"]["scale"]["domainMin"] == {"expr": "-most"}
    assert f"stable rank of {run.name} as a multiple of that of other" in str(spec["title"])
    assert "<svg" in vl_convert.vegalite_to_svg(json.dumps(spec))
    with pytest.raises(InputError, match="has no 'rank'"):
        run.plot("rank", against=other)


def test_what_is_not_there_is_named_with_what_is():
    study = geophone.open(STUDY)
    run = study.runs[0]
    with pytest.raises(InputError, match=r"has no 'rank' to plot; it has stable_rank"):
        run.plot("rank")
    with pytest.raises(InputError, match="colour is 'layer'"):
        run.plot(colour="both")
    with pytest.raises(InputError, match="no run of"):
        study.plot(layer="nowhere")
    with pytest.raises(InputError, match=r"open it with geophone\.open"):
        Run(run.folder).plot()


def test_a_notebook_shows_a_run_and_a_study_and_escapes_their_names():
    study = geophone.open(STUDY)
    html = study._repr_html_()
    assert html.count("<img") == len(study) and "run.plot()" in html
    assert Run(study.runs[0].folder)._repr_html_() is None


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A run of 120 measurements: four of twelve samples are learned at step 300."""
    folder = tmp_path_factory.mktemp("moving") / "runs" / "a<b"
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(12, 6, generator=generator)
    labels = torch.arange(12) % 2
    probe[:, 0] = torch.where(torch.arange(12) < 4, 2.0 * labels - 1, 0.0)  # only these four can be told apart
    model = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model[0].weight.copy_(torch.eye(6))
        model[0].bias.fill_(5.0)
    with geophone.Recorder(model, probe, out=folder, labels=labels, every=5, dimensions=["stable_rank"]) as recorder:
        for step in range(1, 601):
            new = 3 / (1 + math.exp(-(step - 300) / 12))
            with torch.no_grad():
                model[2].weight[:, 0] = new * torch.tensor([-1.0, 1.0])
                model[2].bias.copy_(-5 * model[2].weight[:, 0] + 0.02 * torch.randn(2, generator=generator))
            recorder.step(loss=1.0)
    return geophone.open(folder)


def test_a_transition_draws_its_layers_and_the_samples_that_moved(moving):
    found = moving.transition(1)
    chart = found.plot()
    drawn = json.dumps(chart.to_dict())
    assert found.kind == "learned" and f"the {found.own} samples that moved" in drawn and "stable rank" in drawn
    assert "the others" in drawn and "<svg" in vl_convert.vegalite_to_svg(drawn)
    values = next(iter(found.drawn._moved().items()))[1]
    assert values.loc[:200].max() < 0.6 and values.loc[400:].min() > 0.9 and found.own == 4
    with pytest.raises(InputError, match="has no 'rank' to plot; it has stable_rank"):
        found.plot("rank")


def test_a_notebook_shows_a_transition_and_escapes_its_run(moving):
    found = moving.transition(1)
    html = found._repr_html_()
    assert "a&lt;b" in html and "a<b" not in html and html.count("<tr") == 1 + min(found.own, 9)
    bare = Run(moving.folder, ranker=moving._ranker).transition(1)
    assert bare._repr_html_() is None
    with pytest.raises(InputError, match="take it from geophone"):
        bare.plot()
