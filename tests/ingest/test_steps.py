"""The step in a name: schemes that people use, and numbers that are something else."""

import pytest

from geophone.errors import InputError
from geophone.ingest.places import named_by
from geophone.ingest.steps import SCHEMES, step_of, steps_of

NAMES = {
    # Suites: Pythia, OLMo, OLMo 2, Mistral of CRFM, MultiBERTs.
    "step1000": 1_000, "step1000-tokens4B": 1_000,
    "stage1-step150000-tokens315B": 150_000, "checkpoint-100000": 100_000,
    "multiberts-seed_0-step_20k": 20_000, "multiberts-seed_24-step_2000k": 2_000_000,
    # Trainers: Transformers, Lightning, DeepSpeed, Composer, fairseq, Megatron.
    "checkpoint-500": 500, "epoch=3-step=400.ckpt": 400, "epoch=3-step=400-v1.ckpt": 400, "global_step1000": 1_000,
    "epoch=09-val_loss=0.12-step=1200.ckpt": 1_200, "ep0-ba100": 100, "checkpoint_7_5500.pt": 5_500,
    "checkpoint_10_50000_best.pt": 50_000, "iter_0005000": 5_000,
    # Loops of one's own.
    "epoch_1_loss_0.93.pt": 1, "epoch_12_acc_93.pt": 12, "model_step100_v2.pt": 100, "ckpt_10k.pt": 10_000,
    "model_200.pt": 200, "ckpt300.pth": 300, "ddp-400.bin": 400, "a-7.pt": 7, "it12.pt": 12, "weights.0012.pt": 12,
    "20240101_step5.pt": 5, "llama-7b-step-5": 5, "step-3-epoch-1": 3, "net_epoch12.pth": 12, "10k.pt": 10_000,
    "updates=250.pt": 250, "lr3e-4_step_50.pt": 50,
    # No step at all.
    "weights.pt": None, "main": None, "pythia-160m": None, "model-00001-of-00002.safetensors": None,
    "best_93.5.pt": None,
    "ckpt.1e-3.pt": None, "gpt2-medium": None, "llama-7b": None, "seed_3.pt": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "step"), NAMES.items())
def test_the_step_of_a_name(name, step):
    assert step_of(name) == step


def test_every_scheme_reads_its_own_examples_and_no_earlier_one_takes_them():
    for scheme in SCHEMES:
        for example in scheme.example.replace(" (epoch, updates)", "").split(", "):
            bare = example.partition("_loss")[0].partition("-tokens")[0]
            assert next(s for s in SCHEMES if s.pattern.search(bare)) is scheme, example


def test_a_pattern_of_the_users_own():
    assert step_of("run7_u0040.pt", pattern=r"u(\d+)") == 40
    assert step_of("run7_u0040.pt", pattern=r"run(?P<run>\d+)_u(?P<step>\d+)") == 40
    assert step_of("run7.pt", pattern=r"u(\d+)") is None
    for pattern, says in (("(", "no regular expression"), ("u", "no group"), ("(u)", "no whole number")):
        with pytest.raises(InputError, match=says):
            step_of("run7_u0040.pt", pattern=pattern)


def test_two_names_of_one_step_are_refused_with_what_was_read():
    steps, without = steps_of({name: name for name in ("step1", "config.json", "step2")})
    assert (steps, without) == ({"step1": 1, "step2": 2}, ["config.json"])
    with pytest.raises(InputError, match=r"a-7 and b-7 both say step 7.*--step-pattern"):
        steps_of({"a-7": "a-7", "b-7": "b-7"})


@pytest.mark.parametrize(
    ("file", "named"),
    [
        *((name, "exp_7") for name in ("model.safetensors", "pytorch_model.bin", "checkpoint.pt", "weights.pt")),
        *((name, "exp_7") for name in ("mp_rank_00_model_states.pt", "model.fp16.safetensors")),
        ("checkpoint.5000.pt", "checkpoint.5000.pt"),
        ("model.100.pt", "model.100.pt"),
        ("weights.12.pt", "weights.12.pt"),
        ("pytorch_model.100.bin", "pytorch_model.100.bin"),
        ("model.best.pt", "model.best.pt"),
    ],
)
def test_the_folder_says_the_step_only_of_a_file_that_is_called_as_in_every_folder(tmp_path, file, named):
    place = tmp_path / "exp_7" / file
    place.parent.mkdir()
    place.touch()
    assert named_by(place) == named
