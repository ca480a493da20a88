"""Up to which step a run is whole, and what of it is not."""

import pytest
import torch
from safetensors.torch import save_file
from test_store import manifest

from geophone.store.check import checkpoint_path, damaged_files, good_until, state_path
from geophone.store.run import Run
from geophone.store.writer import RunWriter, series_row

STEPS = (20, 40, 60)


@pytest.fixture
def run(tmp_path):
    """Three parts of each kind, of two measurements, 10 steps apart; checkpoints at 20, 40 and 60."""
    folder = tmp_path / "r"
    writer = RunWriter(folder, manifest(), part_rows=2)
    for index in range(6):
        step = 10 * index + 10
        rows = [series_row(index, step, layer, "ok", {"stable_rank": 1.0}) for layer in writer.manifest.layers]
        writer.add(rows, {"index": index, "step": step, "loss": 1.0})
    for step in STEPS:
        for path in (checkpoint_path(folder, step), state_path(folder, step)):
            path.parent.mkdir(exist_ok=True)
            save_file({"w": torch.arange(4.0)}, path)
        writer.checkpoint(step, "digest")
    writer.finish("finished", steps=60, measurements=6)
    return Run(folder)


def part(run, kind, number):
    return run.folder / kind / f"part-{number:05d}.parquet"


def spoil(path):
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))


def test_a_whole_run_is_good_to_its_last_checkpoint(run):
    assert good_until(run.folder, run.manifest) == 60 and damaged_files(run.folder, run.manifest) == []


@pytest.mark.parametrize("kind", ["series", "scalars"])
@pytest.mark.parametrize(("number", "good"), [(0, None), (1, 20), (2, 40)])
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_run_is_good_up_to_its_first_part_that_is_not_whole_of_either_kind(run, kind, number, good, how):
    path = part(run, kind, number)
    spoil(path) if how == "damaged" else path.unlink()
    assert good_until(run.folder, run.manifest) == good
    assert damaged_files(run.folder, run.manifest) == [path]


def test_a_series_may_end_before_the_last_step_and_scalars_may_not(run):
    for kind, good in (("series", 60), ("scalars", 40)):
        path = part(run, kind, 2)
        whole = path.read_bytes()
        path.unlink()
        kept = {name: digest for name, digest in run.manifest.parts.items() if name != f"{kind}/{path.name}"}
        assert good_until(run.folder, run.manifest.model_copy(update={"parts": kept})) == good
        path.write_bytes(whole)


def test_a_checkpoint_that_is_not_as_long_as_it_says_is_passed_over(run):
    spoiled = state_path(run.folder, 60)
    spoiled.write_bytes(spoiled.read_bytes()[:-1])
    assert good_until(run.folder, run.manifest) == 40
    assert damaged_files(run.folder, run.manifest) == [spoiled]


def test_a_checkpoint_of_ones_own_loop_has_no_state_unless_it_was_given_one(run):
    """What an alarm keeps is weights alone; a run that geophone trained is resumed from both."""
    gone = state_path(run.folder, 40)
    gone.unlink()
    assert damaged_files(run.folder, run.manifest) == []
    trained = run.manifest.model_copy(update={"about": {"experiment": "cnn_4_mnist"}})
    assert damaged_files(run.folder, trained) == [gone]
    gone.write_bytes(b"half of it")
    assert damaged_files(run.folder, run.manifest) == [gone]
