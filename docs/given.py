"""What a page of the documentation may be given before its first block: files as a reader has them, made in seconds."""

import importlib
import shutil
import sys
from pathlib import Path

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": "huggingface",  # in the page's own folder
    "COLUMNS": "80",
}
STUDY = """name = "geophone-demo"
networks = ["{network}"]
steps = 100
probe_samples = 64

[schedule]
every = 4

[detect]
surrogates = 99

[dig]
per_class = 10
units = 1
steps = 4

[evidence]
draws = 99
"""
MODELS = """import torch


def build():
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def probe():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images[:256] / 16, dtype=torch.float32), torch.tensor(labels[:256])
"""
PROBES = """import torch


def tokens():
    return {"input_ids": torch.arange(320).reshape(8, 40) % 31}
"""


def warm() -> None:
    """Import what nearly every page imports, once for all of them; nothing here starts a thread."""
    heavy = ["torch", "pandas", "altair", "duckdb", "sklearn.decomposition"]
    for name in [*heavy, *(f"geophone.{room}" for room in ("cli", "findings", "point.targets", "record.recorder"))]:
        importlib.import_module(name)


def demo(network: str = "cnn_4_mnist") -> None:
    """geophone-demo/: as `geophone demo` leaves it, but of one network, short, and trained alone."""
    import geophone as gp

    folder = Path("geophone-demo")
    gp.train(network, out=folder / "runs" / f"{network}-seed0", steps=100, every=4, probe_samples=64)
    (folder / "study.toml").write_text(STUDY.format(network=network), encoding="utf-8")


def ranked() -> None:
    """geophone-demo/ of a smaller network, up to its targets."""
    from geophone.store.study import Study
    from geophone.study.options import DetectOptions
    from geophone.study.stages import detect_stage, target_stage

    demo("mlp_1_digits")
    detect_stage(Study(Path("geophone-demo")), DetectOptions(surrogates=99))
    target_stage("geophone-demo")


def dug() -> None:
    """The same, its first target dug."""
    import geophone as gp
    from geophone.records import DigOptions

    ranked()
    gp.dig(gp.open("geophone-demo"), options=DigOptions(per_class=10, units=1, steps=4))


def tested() -> None:
    """geophone-demo/ with statistics, as after `geophone evidence`."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from small_study import make_study

    make_study(Path("geophone-demo"))


def mine() -> None:
    """mymodels.py, checkpoints/step*.pt of a training, probe.npy, and runs/mine, what a Recorder made of it."""
    import numpy as np
    import torch

    import geophone as gp

    Path("mymodels.py").write_text(MODELS, encoding="utf-8")
    sys.path.insert(0, "")
    from mymodels import build, probe

    x, y = probe()
    np.save("probe.npy", x.numpy())
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    Path("checkpoints").mkdir()
    with gp.Recorder(model, x, out="runs/mine", labels=y, every=2) as recorder:
        for step in range(1, 201):
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % 10 == 0:
                recorder.checkpoint()
                torch.save(model.state_dict(), f"checkpoints/step{step}.pt")


def pythia() -> None:
    """corpus.txt, myprobes.py, tokens.safetensors, models/ with a folder per revision, and a hub's cache in which the
    revisions of two of EleutherAI's models are those of a tiny one."""
    import numpy as np
    import safetensors.torch
    import tokenizers
    import torch
    import transformers

    words = [f"w{i}" for i in range(30)]
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 30, 450)
    text = "\n\n".join(" ".join(words[(start + i) % 30] for i in range(40)) for start in starts)
    Path("corpus.txt").write_text(text, encoding="utf-8")
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(["<end>", *words])}, "w0"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 32}
    torch.manual_seed(0)
    model = transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(vocab_size=31, **shape))
    ids = torch.tensor(tokenizer.encode(text.replace("\n\n", " ")))[: 16 * 64].reshape(16, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    kept = [0, 1, 4, 16, 64, 128, 256, 512, 1000]
    hub = Path("huggingface/hub")
    homes = [hub / f"models--EleutherAI--pythia-{size}" for size in ("14m", "160m")]
    for number, step in enumerate(kept):
        for home in homes:
            (home / "refs").mkdir(parents=True, exist_ok=True)
            for name in (f"step{step}", "main"):
                (home / "refs" / name).write_text(f"{number:040d}")
        snapshot = homes[0] / "snapshots" / f"{number:040d}"
        model.save_pretrained(snapshot)
        tokenizer.save_pretrained(snapshot)
        for _ in range(6):
            loss = model(input_ids=ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step in (0, 512):
            model.save_pretrained(Path("models") / f"step{step}")
    shutil.copytree(homes[0] / "snapshots", homes[1] / "snapshots")
    Path("myprobes.py").write_text(PROBES, encoding="utf-8")
    safetensors.torch.save_file({"input_ids": ids}, "tokens.safetensors")


def measured() -> None:
    """The same, and runs/pythia, measured of the revisions."""
    from blocks import geophone

    pythia()
    words = "geophone measure EleutherAI/pythia-14m --revisions log --text corpus.txt --out runs/pythia"
    assert not geophone(words.split()), words


def mynets() -> None:
    """mynets.py, with a network for a study."""
    code = "from geophone.zoo.catalogue import experiment\n\n\ndef small():\n    return experiment('mlp_1_digits')\n"
    Path("mynets.py").write_text(code, encoding="utf-8")


def tables() -> None:
    """history.csv, wide.csv and long.parquet: one series of two layers as three tools would leave it."""
    import duckdb
    import numpy as np
    import pandas as pd

    steps = np.arange(0, 400, 5)
    first, second = 3 + np.exp(-steps / 100), 5 - np.exp(-steps / 50)
    wide = pd.DataFrame({"step": steps, "conv1": first, "conv2": second})
    wide.to_csv("wide.csv", index=False)
    wide.rename(columns=lambda c: c if c == "step" else f"stable_rank/{c}").to_csv("history.csv", index=False)
    long = wide.melt("step", var_name="module", value_name="sr").rename(columns={"step": "it"})
    duckdb.from_df(long).write_parquet("long.parquet")


GIVEN = {made.__name__: made for made in (demo, ranked, dug, tested, mine, pythia, measured, mynets, tables)}
