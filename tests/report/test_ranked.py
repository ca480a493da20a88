"""Pages of runs that the ranker ranked: each once, and the initial transient beneath the list."""

import re

import pandas as pd
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.point.study import run_listing
from geophone.report.page import write_page
from geophone.store.study import Study
from geophone.study.stages import target_stage

SWITCH = 100


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """Two runs of a perceptron that is given another answer from step 100 on."""
    folder = tmp_path_factory.mktemp("ranked")
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        x = torch.randn(64, 8)
        answers = [(x[:, i] > 0).long() for i in (0, 1)]
        out = folder / "runs" / f"run-{seed}"
        with gp.Recorder(model, x, out=out, labels=answers[1], every=4, alarms=False, sync=True) as recorder:
            for step in range(2 * SWITCH):
                loss = nn.functional.cross_entropy(model(x), answers[step >= SWITCH])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.step(loss=loss.item())
    target_stage(folder)
    return Study(folder)


def test_a_run_is_ranked_once_for_all_its_pages(ranked, tmp_path, monkeypatch):
    asked: list[str] = []

    def counted(run):
        asked.append(run.name)
        return run_listing(run)

    for where in ("geophone.report.sources", "geophone.point.study"):
        monkeypatch.setattr(f"{where}.run_listing", counted)
    write_page(ranked, out=tmp_path / "atlas", partial=True)
    best = ranked.targets()["run"].iloc[0]
    # The first screen's may have to be asked once more.
    assert set(asked) == {run.name for run in ranked}
    assert all(asked.count(name) <= 1 + (name == best) for name in asked)


def test_the_overview_names_the_best_ranked_transition_of_a_run_as_that(ranked, tmp_path):
    write_page(ranked, out=tmp_path / "atlas", partial=True)
    page, targets = (tmp_path / "atlas" / "index.html").read_text(), ranked.targets()
    assert "best-ranked transition" in page and "first transition" not in page
    for _, own in targets.groupby("run"):
        assert f'<span class="flag">{own["rank"].min()}</span>' in page


def test_the_initial_transient_stands_beneath_the_list_and_has_no_flag(ranked, tmp_path):
    write_page(ranked, out=tmp_path / "atlas", partial=True)
    for run in map(gp.open, sorted(run.folder for run in ranked)):
        page = (tmp_path / "atlas" / "runs" / f"{run.name}.html").read_text()
        table = run.transitions()
        apart = table.iloc[-1]
        assert len(table) > 1 and apart["kind"] == "transient" and pd.isna(apart["rank"])
        note = page.partition("Listed apart")[2].partition("</p>")[0]
        assert f"the initial transient between steps {apart['start']} and {apart['end']}" in note
        assert len(set(re.findall(r'href="\.\./targets/[^"]*"', page))) == len(table) - 1
