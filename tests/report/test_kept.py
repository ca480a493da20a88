"""An atlas written over an older one is the one that is written anew, and only what changed is made."""

import json
import shutil

import pandas as pd
import pytest
from atlas_study import LAYERS, write_dig, write_run

import geophone.report.kept as kept
import geophone.report.page as page
from geophone.phenomena import RunSeries, run_tables
from geophone.point.study import targets
from geophone.report.page import write_page
from geophone.store.study import Study


@pytest.fixture
def made(monkeypatch):
    """The names of the pages that are made, not read."""
    names, run_page, transition_page = [], page.run_page, page.transition_page

    def of_run(measured, sources):
        names.append(measured.run.name)
        return run_page(measured, sources)

    def of_transition(rank, measured, sources):
        names.append(f"{measured.run.name} {rank}")
        return transition_page(rank, measured, sources)

    monkeypatch.setattr(page, "run_page", of_run)
    monkeypatch.setattr(page, "transition_page", of_transition)
    return names


@pytest.fixture
def own(tmp_path):
    """A study of two runs and its atlas's folder."""
    for seed, name in enumerate("ab"):
        write_run(tmp_path / "study" / "runs" / name, name, seed=seed)
    study = Study(tmp_path / "study")
    parts = [run_tables(RunSeries(run.name, run.layers, 300, run.all_series())) for run in study]
    for kind in parts[0]:
        study.write(f"phenomena/{kind}", pd.concat([part[kind] for part in parts], ignore_index=True))
    study.write("targets", targets(study, method="naive"))
    write_page(study, partial=True)
    return study


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def again(study, made) -> list[str]:
    """Write the atlas again; which pages were made. It is the one that is written into an empty folder."""
    made.clear()
    over, names = write_page(Study(study.folder), partial=True).parent, list(made)
    anew = write_page(Study(study.folder), partial=True, out=study.folder.parent / "anew").parent
    assert files(over) == files(anew)
    shutil.rmtree(anew)
    return names


def test_nothing_is_made_where_nothing_changed(own, made):
    assert again(own, made) == []


def test_a_run_that_is_added_is_made_alone(own, made):
    write_run(own.folder / "runs" / "c", "c", seed=2)
    assert again(own, made) == ["c"]


def test_targets_of_one_run_make_its_pages_alone(own, made):
    table = own.targets()
    (last,) = table[table["run"] == "b"].tail(1)["rank"]
    own.write("targets", table[table["rank"] != last])
    mine = [f"b {rank}" for rank in table[(table["run"] == "b") & (table["rank"] != last)]["rank"]]
    names = again(own, made)
    assert names[0] == "b" and set(names[1:]) <= set(mine) and len(names) > 1


def test_a_dig_and_what_it_writes_later_make_the_pages_of_its_run(own, made):
    target = next(t for t in own.ranked() if t.run == "a")
    dig = write_dig(own, target, [layer.name for layer in LAYERS]).rename(own.places.dig(target.name))
    names = again(own, made)
    assert f"a {target.rank}" in names and not any(name.startswith("b") for name in names)
    notes = dig / "notes.md"
    notes.write_text(notes.read_text() + "\nMore.\n")
    assert again(own, made) == [f"a {target.rank}"]


@pytest.mark.parametrize("harm", ["cut", "script", "key", "list", "gone"])
def test_what_is_damaged_in_an_atlas_is_made_anew(own, made, harm):
    atlas = own.places.report
    place = atlas / "kept" / "a.json"
    about = json.loads(place.read_text())
    if harm == "cut":
        place.write_text(place.read_text()[:-40])
    elif harm == "script":
        (atlas / "data" / "a.js").write_text("window.geophoneRun = null")
    elif harm == "key":
        place.write_text(json.dumps({k: v for k, v in about.items() if k != "row"}))
    elif harm == "list":
        place.write_text("[1, 2]")
    else:
        shutil.rmtree(atlas / "kept")
    names = again(own, made)
    assert names[0] == "a" and (harm == "gone") == ("b" in names)


def test_other_code_makes_everything_anew(own, made, monkeypatch):
    monkeypatch.setattr(kept, "code_digest", lambda entry: "of another release")
    names = again(own, made)
    assert {"a", "b"} <= set(names)


def test_what_json_cannot_hold_is_no_page(tmp_path):
    there = kept.Kept(tmp_path / "old", tmp_path / "fresh")
    with pytest.raises(TypeError, match="shows a object, which JSON cannot hold"):
        there.page("a", 1, lambda: kept.Page({"what": object()}, ""))
