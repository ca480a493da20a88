"""A first figure in four statements, and errors that say what there is."""

import json

import pytest
import vl_convert

import geophone
from geophone.errors import InputError
from geophone.store.run import Run

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
