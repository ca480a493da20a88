"""A language model's revisions on text: the probe is real tokens, and what was learned of them is recorded."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import geophone as gp
from geophone.dig.subject import specimen_of
from geophone.errors import InputError, StoreError
from geophone.ingest.probes import text_probe, tokenizer_of
from geophone.ingest.sources import revisions

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = [f"w{i}" for i in range(30)]
STEPS = (0, 1, 2, 4, 8, 16, 32)


def tokenizer():
    vocabulary = {word: i for i, word in enumerate(["<end>", *WORDS])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="w0"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")


def text(documents=40, words=25):
    rng = np.random.default_rng(0)
    return "\n\n".join(" ".join(WORDS[(s + i) % 30] for i in range(words)) for s in rng.integers(0, 30, documents))


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A small GPT-NeoX in a folder with a sub-folder per revision, whose head is turned towards the right answer."""
    root = tmp_path_factory.mktemp("suite")
    config = transformers.GPTNeoXConfig(
        vocab_size=31, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, rotary_pct=0.25, hidden_dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.GPTNeoXForCausalLM(config)
    with torch.no_grad():
        model.gpt_neox.embed_in.weight.normal_(0, 1)
    ids = torch.tensor([tokenizer().encode(text().replace("\n\n", " "))])[:, :512].reshape(8, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            model.save_pretrained(root / f"step{step}")
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokenizer().save_pretrained(root)
    (root / "corpus.txt").write_text(text())
    return root


def command(*arguments, cwd):
    code = "import sys; from geophone.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def test_the_probe_is_the_text_packed_and_its_special_tokens_do_not_count(tmp_path):
    (tmp_path / "corpus.txt").write_text(text(documents=6, words=9))
    probe = text_probe(tmp_path / "corpus.txt", tokenizer(), samples=5, length=12)
    whole = [i for d in text(6, 9).split("\n\n") for i in (*tokenizer().encode(d), 0)]
    assert probe.kwargs["input_ids"].tolist() == [whole[s : s + 12] for s in (0, 12, 24, 36, 48)]
    assert torch.equal(probe.mask, probe.kwargs["input_ids"] != 0) and not probe.mask.all()
    with pytest.raises(InputError, match="60 tokens, enough for 5 sequences of 12"):
        text_probe(tmp_path / "corpus.txt", tokenizer(), samples=6, length=12)


def test_one_command_from_revisions_to_a_run_with_behaviour(suite, tmp_path):
    done = command(
        "measure", suite, "--revisions", "all", "--text", suite / "corpus.txt", "--sequences", "8", "--length", "32",
        "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = gp.open(tmp_path / "run")
    assert tuple(run.series("stable_rank").index) == STEPS
    behaviour = run.behaviour()
    model = transformers.AutoModelForCausalLM.from_pretrained(suite / "step32").eval()
    probe = text_probe(suite / "corpus.txt", tokenizer(), samples=8, length=32)
    ids = probe.kwargs["input_ids"]
    with torch.no_grad():
        right = model(ids).logits[:, :-1].softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    real = (probe.mask[:, 1:] & probe.mask[:, :-1]).flatten()
    np.testing.assert_allclose(np.sort(behaviour.loc[32].to_numpy()), np.sort(right.flatten()[real].numpy()), atol=2e-3)
    assert behaviour.loc[32].mean() > behaviour.loc[0].mean() + 0.2
    assert not any("embed_out" in layer.name for layer in run.layers)
    heads = run.heads()
    assert len(heads) == len(STEPS) * 2 * 2
    assert set(heads["layer"]) == {f"gpt_neox.layers.{i}.attention" for i in (0, 1)}
    changes = heads.pivot_table(index="step", columns=["layer", "head"], values="pattern_change", dropna=False)
    assert changes.loc[0].isna().all() and changes.loc[STEPS[1:], :].to_numpy().min() >= 0
    assert heads[["previous", "duplicate", "induction"]].to_numpy().min() > 0
    tokens = run.tokens()
    assert tokens.pivot(index="sample", columns="position", values="token").to_numpy().tolist() == ids.tolist()
    np.testing.assert_array_equal(tokens["real"].to_numpy().reshape(ids.shape), probe.mask)
    assert tokens["text"].tolist() == [tokenizer().decode([token]) for token in tokens["token"]]
    seen = specimen_of(run, rng=np.random.default_rng(0))  # what dig sees, with nothing told
    assert seen.kept == STEPS and seen.names[int(ids[0, 0])] == tokenizer().decode([int(ids[0, 0])])
    network = seen.at([8, 32])[32]
    torch.testing.assert_close(network.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert sorted(map(tuple, seen.samples.x.tolist())) == sorted(map(tuple, ids.tolist()))
    for x, y in zip(seen.samples.x, seen.samples.answers, strict=True):
        row = ids.tolist().index(x.tolist())
        real = probe.mask[row, 1:] & probe.mask[row, :-1]
        assert y.tolist() == [*torch.where(real, x[1:], -100).tolist(), -100]


def test_the_weights_of_every_revision_are_those_that_are_read(suite, tmp_path):
    source, network = revisions(str(suite), "log", task="causal-lm"), None
    for _, key in source.keys:
        network = source.load(key, network)
        fresh = transformers.AutoModelForCausalLM.from_pretrained(suite / key).state_dict()
        torch.testing.assert_close(network.state_dict(), fresh, rtol=0, atol=0)
    assert [step for step, _ in source.keys] == list(STEPS)


def test_a_revision_of_another_shape_or_torn_is_named_and_the_rest_is_measured(suite, tmp_path):
    copy = tmp_path / "suite"
    shutil.copytree(suite, copy)
    (copy / "step8" / "model.safetensors").write_bytes((copy / "step8" / "model.safetensors").read_bytes()[:2000])
    config = transformers.GPTNeoXConfig(
        vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    transformers.GPTNeoXForCausalLM(config).save_pretrained(copy / "step4")
    done = command(
        "measure", copy, "--revisions", "all", "--text", suite / "corpus.txt", "--sequences", "8", "--length", "32",
        "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "step4" in done.stderr and "step8" in done.stderr
    assert tuple(gp.open(tmp_path / "run").series("stable_rank").index) == (0, 1, 2, 16, 32)


def test_a_last_revision_without_a_tokenizer_or_with_a_torn_one_does_not_lose_the_others(suite, tmp_path):
    copy = tmp_path / "suite"
    shutil.copytree(suite, copy)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).rename(copy / "step2" / name)
        shutil.copy(copy / "step2" / name, copy / "step32")
    (copy / "step32" / "tokenizer.json").write_text('{"torn')
    for empty in ("step999", "final", ".cache"):
        (copy / empty).mkdir()
    done = command(
        "measure", copy, "--revisions", "all", "--text", suite / "corpus.txt", "--sequences", "8", "--length", "32",
        "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "left out final: its name says no training step" in done.stderr and ".cache" not in done.stderr
    assert "left out step999" in done.stderr
    assert tuple(gp.open(tmp_path / "run").series("stable_rank").index) == STEPS


def test_a_model_without_any_tokenizer_is_told_in_a_whole_sentence(suite, tmp_path):
    shutil.copytree(suite / "step2", tmp_path / "bare" / "step2")
    with pytest.raises(StoreError, match=r"bare has no tokenizer that can be read: .*\.$") as said:
        tokenizer_of(str(tmp_path / "bare"), ["step2"])
    assert not str(said.value).endswith((":.", ",."))


def test_all_revisions_of_a_folder_by_a_pattern_of_ones_own_and_of_one_that_has_none(tmp_path):
    for name in ("seed9_u3", "seed9_u40", "final"):
        (tmp_path / "suite" / name).mkdir(parents=True)
    source = revisions(str(tmp_path / "suite"), "all", step_pattern=r"u(\d+)")
    assert source.keys == ((3, "seed9_u3"), (40, "seed9_u40")) and source.left_out == ("final",)
    (tmp_path / "empty").mkdir()
    for names in ("all", "log", "step*"):
        with pytest.raises(InputError, match="no revision of .*empty fits .*it has none at all"):
            revisions(str(tmp_path / "empty"), names)
    with pytest.raises(InputError, match="say which revisions"):
        revisions(str(tmp_path / "empty"), [])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x", "--out", "r"], "say what the network is read on"),
        (["x", "--probe", "p.npy", "--text", "t", "--out", "r"], "--probe and --text both say"),
        (["x", "--probe", "p.npy", "--out", "r"], "say how to build the network"),
        (["x", "--text", "t", "--model", "a:b", "--out", "r"], "--text needs the tokenizer"),
    ],
)
def test_what_is_missing_is_said(tmp_path, arguments, says):
    done = command("measure", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1
