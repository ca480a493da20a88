"""From rows to a verdict: intervals against their closed form, the rule on made-up runs, and the whole, small."""

import json

import numpy as np
import pytest
from made_proof import made_rows

import geophone as gp
from geophone.errors import InputError, StoreError
from geophone.findings.proving import proving
from geophone.point.find import transitions
from geophone.prove import choice as choosing
from geophone.prove import confirm, protocol, quick, read_tables, score
from geophone.prove.evaluate import BEST, evaluate, layers_named
from geophone.prove.ranker import printed, ranked, seeds_seen
from geophone.prove.swapped import layers_by_swap
from geophone.prove.tables import POOLED, RANKER, comparison_table, method_table, verdict
from geophone.prove.targeting import hits, oracle
from geophone.prove.trials import GROUPS, PRIMARY, Crew, Trial, read_run, run_trials
from geophone.stats.clusters import stratified_interval


def judged(table):
    comparisons = comparison_table(table, rng=np.random.default_rng(1))
    return verdict(comparisons), comparisons


def test_the_interval_of_a_mean_is_as_wide_as_it_should_be():
    x = np.random.default_rng(0).normal(size=400)
    found = stratified_interval([x], rng=np.random.default_rng(1))
    half = 1.96 * x.std() / 20
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.1 * half)
    both = stratified_interval([x, x[:100] + 2, [np.nan]], rng=np.random.default_rng(1))
    assert both.statistic == pytest.approx((x.mean() + x[:100].mean() + 2) / 2) and both.n == 500
    error = (x.std() ** 2 / 400 + x[:100].std() ** 2 / 100) ** 0.5 / 2
    assert both.high - both.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert stratified_interval([[1.0]], rng=np.random.default_rng(0)).status == "not enough data"


@pytest.mark.parametrize(("gain", "answer"), [(0.2, "better"), (-0.2, "worse"), (0.0, "no better")])
def test_the_verdict_follows_the_rule(gain, answer):
    found, _ = judged(made_rows(gain))
    gap = found.difference
    assert found.answer == answer and gap.low < gap.statistic < gap.high
    assert gap.statistic == pytest.approx(gain, abs=0.04) and gap.n == 20 * len(PRIMARY)
    assert len(found.worse_in) == (len(GROUPS) if gain < 0 else 0)


def test_pairing_takes_out_what_a_run_has_in_common():
    table = made_rows(0.1)
    paired = judged(table)[1].set_index(["bed", "rival", "endpoint"]).loc[(POOLED, BEST, "recall")]
    alone = method_table(table, rng=np.random.default_rng(1)).set_index(["bed", "method"]).loc[(POOLED, RANKER)]
    assert paired["high"] - paired["low"] < 0.75 * (alone["high"] - alone["low"])
    assert alone["recall"] == pytest.approx(
        table[table["method"].eq(RANKER) & table["bed"].isin(PRIMARY)]["recall"].mean()
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of a testbed whose layers and samples are known, and two of one that trains in a second."""
    out = tmp_path_factory.mktemp("prove")
    wanted = [Trial("v_layer", 500), Trial("v_deep", 500), Trial("v_deep", 501)]
    for trial in wanted:
        run_trials(trial.bed, [trial.seed], str(out), tell=lambda done, of: None)
    return [read_run(out / trial.name) for trial in wanted]


def test_who_knows_gets_everything_and_who_does_not_gets_chance(small):
    truths = {run.signals.name: run.truth for run in small}
    table = evaluate(
        small, {"oracle": lambda signals, kind: oracle(truths[signals.name])}, rng=np.random.default_rng(0)
    )
    best = table[table["method"] == "oracle"]
    assert (best[["recall", "recall_double", "strict", "precision", "found", "f1"]] == 1).all(axis=None)
    known, twice = best[best["bed"] == "v_layer"], best[best["bed"] == "v_deep"]
    assert (known[["layer_rate", "sample_auc"]] == 1).all(axis=None) and (twice["net"] == 1 - twice["other"]).all()
    random = table[table["method"] == "random"]
    assert random["recall"].mean() == pytest.approx(random["chance"].mean(), abs=0.08)
    assert table[table["method"] == "clock_slopes"]["recall"].mean() > 0.6


def test_the_ranker_is_the_packages_own(small):
    run = small[0].signals
    listing = transitions(run, rng=np.random.default_rng(0))
    behaviour, hidden = (ranked(run, kind) for kind in ("behaviour", "hidden"))
    assert set(behaviour.index) == {t.index for t in listing.of("learned", "lost")}
    assert set(hidden.index) == {t.index for t in listing.of("hidden")}
    assert set(printed(run, "hidden").index) == set(behaviour.index) | set(hidden.index)
    assert len(behaviour.samples[0]) == run.behaviour.values.shape[1] and seeds_seen()


def test_a_method_sees_no_truth(small):
    public = {name for name in dir(small[0].signals) if not name.startswith("_")}
    assert not public & {"truth", "events", "planted", "folder", "clock"}


def test_every_way_of_naming_a_layer_is_asked_at_the_same_moments(small):
    truths = {run.signals.name: run.truth for run in small}
    ways = layers_named(small, lambda signals, kind: oracle(truths[signals.name]), choosing.frozen())
    named = ways.pivot(index=["bed", "seed"], columns="way", values="found")
    assert (named["method"] == 1).all() and ((named >= 0) & (named <= 1)).all(axis=None)
    assert set(choosing.frozen().where) < set(named.columns)


def test_the_swap_test_names_the_block_that_learned(small):
    run = small[0]
    count = len(run.truth.events)
    named = layers_by_swap(run, count)
    pairs = hits(ranked(run.signals, "behaviour").first(count), run.truth)
    known = [(named[i], run.truth.events[j].layer) for i, j in pairs if run.truth.events[j].layer != "any"]
    assert len(known) >= 2 and all(name == layer for name, layer in known)
    assert layers_by_swap(small[1], 3) == ()


def test_a_confirmation_refuses_a_changed_file_and_seeds_that_were_seen(tmp_path, monkeypatch):
    content = json.loads(choosing.FROZEN.read_text())
    content["choice"]["best"]["hidden"] = "loss"
    (tmp_path / "changed.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="changed"):
        choosing.frozen(tmp_path / "changed.json")
    assert protocol.FIRST_FRESH not in {*choosing.frozen().seeds, *seeds_seen()}
    monkeypatch.setattr(protocol, "FIRST_FRESH", min(choosing.frozen().seeds))
    with pytest.raises(InputError, match="fresh ones"):
        confirm(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="methods"):
        read_tables(tmp_path)


def test_no_seed_that_is_scored_was_chosen_on():
    chosen = {*choosing.frozen().seeds, *seeds_seen()}
    for first, most in ((protocol.FIRST_FRESH, 20), (protocol.FIRST_QUICK, 20)):
        assert not chosen & set(range(first, first + most))


@pytest.mark.slow
def test_the_quick_version_goes_all_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "QUICK", {"v_deep": 2, "switch": 2, "lr3": 1, "batch4": 1, "plain": 1})
    tables = quick(tmp_path, Crew(workers=1))
    random = tables["methods"].set_index(["bed", "method"]).loc[("v_deep", "random")]
    assert random["recall"] == pytest.approx(random["chance"], abs=0.15)
    found = {each.id: each for each in proving(tables)}
    assert found["prove/answer"].verdict in ("met", "not met", "undecided") and len(tables["trust"])
    assert {"prove/bed/switch", "prove/nuisance/lr3"} <= set(found)
    assert {each.id for each in proving(read_tables(tmp_path))} == set(found)


@pytest.mark.slow
def test_anybodys_detector_is_scored_beside_the_ranker(tmp_path, monkeypatch):
    module = __import__("geophone.prove.score", fromlist=["PRIMARY"])
    monkeypatch.setattr(module, "PRIMARY", ("v_deep",))
    monkeypatch.setattr(module, "SEEDS", 2)
    early = gp.prove.score(lambda run: run.steps[:3], out=tmp_path).set_index("bed")
    assert early.loc["v_deep", "recall"] < 0.5 and early.loc["v_deep", "verdict"] in ("not shown", "invalid")

    def steepest(table):
        speed = np.log(table.iloc[:, 0]).diff().abs()
        return speed.nlargest(3).index

    found = score(steepest, signal="loss", out=tmp_path)
    assert set(found.columns) == {
        "bed", "runs", "recall", "chance", "net", "low", "high", "f1", "ranker", "verdict",
    }  # fmt: skip
    with pytest.raises(InputError, match="goes from"):
        score(lambda run: [0.5], out=tmp_path)
    with pytest.raises(InputError, match="no signal 'colour'"):
        score(steepest, signal="colour", out=tmp_path)
