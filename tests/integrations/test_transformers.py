"""With the real library, on randomly initialised models trained for real."""

import pytest
import torch

import geophone as gp

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytest.importorskip("accelerate", reason="needs the hf extra")
from geophone.integrations.transformers import GeophoneCallback  # noqa: E402

TOKENS = torch.randint(0, 30, (40, 12), generator=torch.Generator().manual_seed(1))
PROBE = {"input_ids": TOKENS[:10]}


def gpt_neox():
    return transformers.GPTNeoXForCausalLM(
        transformers.GPTNeoXConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16, hidden_dropout=0.1,
        )
    )  # fmt: skip


def gpt2():
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, n_positions=16)
    )


# GPT-2's position embedding puts out one row of positions for all samples, and so is no layer of theirs; the heads put
# out the whole vocabulary. What a block adds to the stream is a layer of its own.
MODELS = {
    "GPT-NeoX": (gpt_neox, "gpt_neox.embed_in", "gpt_neox.layers", {"embed_out", "lm_head"}),
    "GPT-2": (gpt2, "transformer.wte", "transformer.h", {"transformer.wpe", "lm_head"}),
}


def fit(build, folder, callbacks, *, accumulate=1):
    torch.manual_seed(0)
    model = build()
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(folder), max_steps=8, per_device_train_batch_size=4, logging_steps=1, report_to=[],
            save_strategy="no", use_cpu=True, seed=3, disable_tqdm=True, gradient_accumulation_steps=accumulate,
        ),
        train_dataset=[{"input_ids": row, "labels": row} for row in TOKENS],
        callbacks=callbacks,
    )  # fmt: skip
    trainer.train()
    return model, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("kind", MODELS)
def test_weights_steps_and_layers_are_the_trainers(tmp_path, kind):
    build, embedding, blocks, left_out = MODELS[kind]
    plain, _ = fit(build, tmp_path / "a", [])
    with GeophoneCallback(PROBE, out=tmp_path / "run", every=2) as callback:
        recorded, losses = fit(build, tmp_path / "b", [callback])
    for (name, a), b in zip(plain.state_dict().items(), recorded.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    run = gp.open(tmp_path / "run")
    assert run.status == "finished"
    assert list(run.series("stable_rank").index) == [2, 4, 6, 8]
    names = [embedding, *(f"{blocks}.{i}{part}" for i in range(2) for part in ("", "+"))]
    assert [layer.name for layer in run.layers] == names
    assert run.manifest.left_out.keys() <= left_out and "lm_head" in {*run.manifest.left_out, *left_out}
    assert {layer.view for layer in run.layers} == {"tokens"}
    # The Trainer logs after the step has ended, so the loss of a step stands beside the one after it.
    assert run.scalars()["loss"].dropna().tolist() == pytest.approx(losses[:7], abs=1e-3)


def test_accumulated_batches_are_one_step_and_an_error_closes_the_run(tmp_path):
    class Stops(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"), GeophoneCallback(PROBE, out=tmp_path / "r", every=1) as callback:
        fit(gpt2, tmp_path / "a", [callback, Stops()], accumulate=2)
    run = gp.open(tmp_path / "r")
    assert (run.status, run.manifest.steps) == ("failed", 5)


def test_a_training_that_was_resumed_is_one_series_equal_to_that_of_one_training(tmp_path):
    def train(folder, run, steps, start=None):
        torch.manual_seed(0)
        trainer = transformers.Trainer(
            model=gpt2(),
            args=transformers.TrainingArguments(
                output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, logging_steps=1, report_to=[],
                save_strategy="steps", save_steps=4, use_cpu=True, seed=3, disable_tqdm=True,
                lr_scheduler_type="constant", eval_strategy="steps", eval_steps=4,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in TOKENS],
            eval_dataset=[{"input_ids": row, "labels": row} for row in TOKENS[:4]],
            callbacks=[GeophoneCallback(PROBE, out=run, every=1, labels="next-token")],
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=start)

    train(tmp_path / "a", tmp_path / "whole", 8)
    train(tmp_path / "b", tmp_path / "two", 4)
    train(tmp_path / "b", tmp_path / "two", 8, start=str(tmp_path / "b" / "checkpoint-4"))
    whole, two = gp.open(tmp_path / "whole"), gp.open(tmp_path / "two")
    assert list(two.series("rankme").index) == list(range(1, 9))
    for name, series in whole.all_series().items():
        assert series.equals(two.series(name)), name
    assert whole.behaviour().equals(two.behaviour())
    assert whole.scalars()["eval_loss"].notna().sum() >= 1
