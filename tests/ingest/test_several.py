"""Several checkpoints at a time: the same tables as one after the other, whatever is wrong with some of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from in_turn import InTurn
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.ingest.checkpoints import measure
from geophone.ingest.several import in_stretches, stretches
from geophone.ingest.sources import checkpoint_files, revisions
from geophone.record.probe import Probe
from geophone.record.what import What
from geophone.store.manifest import read_manifest
from geophone.store.tables import parts, read_table
from geophone.store.writer import KINDS
from geophone.workers import Outcome, Workers

STEPS = tuple(range(0, 110, 10))
LABELS = torch.arange(40) % 3


def network():
    return nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 3))


def save(folder):
    """Checkpoints of a small training; one is torn, one of another shape, and one has the weights of another step."""
    folder.mkdir()
    torch.manual_seed(0)
    model, x = network(), torch.randn(40, 5)
    for step in STEPS:
        torch.save(model.state_dict(), folder / f"step-{step}.pt")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    torn = folder / "step-30.pt"
    torn.write_bytes(torn.read_bytes()[:-200])
    torch.save(nn.Sequential(nn.Linear(4, 4)).state_dict(), folder / "step-80.pt")
    (folder / "step-90.pt").write_bytes((folder / "step-10.pt").read_bytes())
    return folder, Probe(x)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("several") / "saved")


@pytest.fixture(scope="module")
def alone(saved, tmp_path_factory):
    """What one process says and makes of them."""
    folder = tmp_path_factory.mktemp("several") / "run"
    return measured(saved, folder), folder


def measured(saved, out, workers=None, only=lambda path: True, **more):
    folder, probe = saved
    source = checkpoint_files([path for path in sorted(folder.iterdir()) if only(path)], network)
    return measure(source, probe, out=out, what=What(labels=LABELS), workers=workers, **more)


def same(a, b):
    for kind in KINDS:
        these, those = ([read_table(path) for path in parts(folder / kind)] for folder in (a, b))
        assert len(these) == len(those), kind
        for one, other in zip(these, those, strict=True):
            pd.testing.assert_frame_equal(one, other, check_exact=True)
    for kept in ("layers", "measurements", "steps", "misplaced", "status", "about", "behaviour", "signals", "schedule"):
        ours, theirs = (getattr(read_manifest(folder), kept) for folder in (a, b))
        assert ours == theirs, kept


def test_two_processes_make_the_tables_of_one(saved, alone, tmp_path):
    said, folder = alone
    progress = []
    beside = measured(saved, tmp_path / "run", Workers(2), on_step=lambda done, of: progress.append((done, of)))
    assert (said.steps, said.failures, said.misplaced) == (beside.steps, beside.failures, beside.misplaced)
    assert len(said.failures) == 2 and len(said.misplaced) == 1 and len(said.steps) == 9
    same(folder, tmp_path / "run")
    assert progress[-1] == (11, 11) and progress == sorted(progress)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("count", [4, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 11))])
def test_however_many_there_are(saved, alone, tmp_path, count):
    measured(saved, tmp_path / "run", InTurn(count))
    same(alone[1], tmp_path / "run")


@pytest.mark.slow
def test_a_whole_stretch_that_cannot_be_read_is_named_and_left_out(tmp_path):
    mine = save(tmp_path / "mine")
    for step in (0, 10, 20):
        (mine[0] / f"step-{step}.pt").write_bytes(b"torn")
    one = measured(mine, tmp_path / "one" / "run")
    beside = measured(mine, tmp_path / "several" / "run", InTurn(5))
    assert one.failures == beside.failures and len(one.failures) == 5
    same(tmp_path / "one" / "run", tmp_path / "several" / "run")


@pytest.mark.slow
def test_checkpoints_that_come_later_are_put_behind_those_that_are_there(saved, alone, tmp_path):
    measured(saved, tmp_path / "run", InTurn(2), only=lambda path: int(path.stem.partition("-")[2]) < 70)
    measured(saved, tmp_path / "run", InTurn(2))
    same(alone[1], tmp_path / "run")


@pytest.mark.slow
def test_what_a_process_had_measured_when_all_was_ended_is_not_measured_again(saved, alone, tmp_path, monkeypatch):
    def ended(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("geophone.ingest.checkpoints.joined", ended)
    with pytest.raises(KeyboardInterrupt):
        measured(saved, tmp_path / "run", InTurn(2))
    monkeypatch.undo()
    aside = tmp_path / ".run.stretches"
    assert len(list(aside.glob("*/series/*.parquet"))) == 9 and not gp.Run(tmp_path / "run").has_series
    read = []
    again = measured(saved, tmp_path / "run", InTurn(2), on_step=lambda done, of: read.append(done))
    assert len(again.steps) == 9 and not aside.exists() and not read
    same(alone[1], tmp_path / "run")


@pytest.mark.slow
def test_revisions_of_a_language_model(tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    for step in (0, 1, 2, 4, 8, 16, 32, 64):
        torch.manual_seed(step)
        more = {"intermediate_size": 16, "max_position_embeddings": 16}
        config = transformers.GPTNeoXConfig(**sizes | {"hidden_size": 16 if step in (0, 32) else 8}, **more)
        transformers.GPTNeoXForCausalLM(config).save_pretrained(tmp_path / "hub" / f"step{step}")
    ids = torch.randint(20, (12, 9), generator=torch.Generator().manual_seed(1))
    runs = []
    for name, workers in (("one", None), ("several", Workers(3))):
        source = revisions(str(tmp_path / "hub"), "all", task="causal-lm")
        what = What(labels="next-token", texts=lambda tokens: [f"<{token}>" for token in tokens])
        made = measure(source, Probe(kwargs={"input_ids": ids}), out=tmp_path / name, what=what, workers=workers)
        assert {key for key, _ in made.failures} == {"step0", "step32"}
        runs.append(gp.Run(tmp_path / name))
    same(runs[0].folder, runs[1].folder)
    pd.testing.assert_frame_equal(runs[0].tokens(), runs[1].tokens())
    assert len(runs[1].heads()) and runs[1].tokens()["text"].iloc[0].startswith("<")


@pytest.mark.parametrize("total", [1, 2, 7, 154])
@pytest.mark.parametrize("count", [1, 2, 5, 200])
def test_stretches_are_all_in_order_and_of_nearly_one_length(total, count, tmp_path):
    todo, kept = [(10 * i, f"k{i}") for i in range(5, 5 + total)], [(0, "k0")]
    made = stretches(todo, kept, count=count, first="k0", folder=tmp_path)
    assert [pair for each in made for pair in each.keys] == todo and len(made) == min(count, total)
    sizes = [len(each.keys) for each in made]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    for each in made:
        assert [*each.before, *each.keys] == (kept + todo)[: 1 + todo.index(each.keys[-1]) + 1]


def test_what_no_process_could_do_is_an_error_that_names_the_stretch(tmp_path):
    source = checkpoint_files([_empty(tmp_path / f"step-{step}.pt") for step in (1, 2)], network)
    these = stretches(source.keys, [], count=1, first=source.keys[0][1], folder=tmp_path / "aside")

    class Dead(Workers):
        def map(self, tasks, **more):
            return [Outcome(task.name, "its process died 3 times") for task in tasks]

    with pytest.raises(InputError, match="steps 1-2 ended: its process died"):
        in_stretches(Dead(1), these, source, Probe(torch.randn(4, 5)), What(), device=None, on_step=lambda *n: None)


def _empty(path):
    torch.save(network().state_dict(), path)
    return path


def test_a_noise_probe_wants_one_process(saved, tmp_path):
    folder, probe = saved
    source = checkpoint_files(sorted(folder.iterdir()), network)
    what = What(noise=torch.from_numpy(np.random.default_rng(0).normal(size=(40, 5)).astype("float32")))
    with pytest.raises(InputError, match="noise"):
        measure(source, probe, out=tmp_path / "run", what=what, workers=Workers(2))
