"""A pickle runs nothing, and a header that lies takes no memory."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import duckdb
import numpy as np
import pytest
import torch

from geophone.errors import StoreError
from geophone.ingest.probes import read_probe
from geophone.ingest.weights import read_weights
from geophone.store.check import is_sound
from geophone.store.tables import read_table


class Canary:
    def __init__(self, call, *arguments):
        self._does = (call, arguments)

    def __reduce__(self):
        return self._does


def calls(mark):
    return {
        "system": Canary(os.system, f"touch {mark}"),
        "open": Canary(open, str(mark), "w"),
        "popen": Canary(subprocess.Popen, ["touch", str(mark)]),
        "eval": Canary(eval, f"open({str(mark)!r}, 'w')"),
        "torch.load": Canary(torch.load, str(mark)),
    }


@pytest.mark.parametrize("call", ["system", "open", "popen", "eval", "torch.load"])
@pytest.mark.parametrize("form", ["pickle", "zip", "old", "npy"])
def test_a_pickle_that_would_run_code_does_not(call, form, tmp_path):
    mark, evil = tmp_path / "ran", calls(tmp_path / "ran")[call]
    path = tmp_path / ("step-1.npy" if form == "npy" else "step-1.pt")
    if form == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": evil}))
    elif form == "npy":
        np.save(path, np.array([evil], dtype=object), allow_pickle=True)
    else:
        torch.save({"state_dict": {"w": evil}}, path, _use_new_zipfile_serialization=form == "zip")
    if form != "npy":
        with pytest.raises(StoreError, match="is never run|is damaged, or holds more than tensors"):
            read_weights(path)
    with pytest.raises(StoreError, match="is never run|is damaged, or holds more than tensors"):
        read_probe(str(path))
    assert not mark.exists()


def test_the_canary_sings_where_a_pickle_is_trusted(tmp_path):
    mark = tmp_path / "ran"
    pickle.loads(pickle.dumps(calls(mark)["system"]))
    assert mark.exists()


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


LIES = [
    header(b"{}", 2**63),
    header(b'{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'),
    header(b'{"w":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}') + bytes(8),
    header(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}'),
    header(b'{"w":' + b"[" * 100_000),
    b"",
]


@pytest.mark.parametrize("data", LIES)
def test_a_safetensors_header_that_lies_is_refused(data, tmp_path):
    path = tmp_path / "step-1.safetensors"
    path.write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"):
        read_weights(path)


@pytest.mark.parametrize("data", LIES[:2] + LIES[4:])
def test_a_header_that_does_not_fit_the_file_s_length_is_not_sound(data, tmp_path):
    path = tmp_path / "step-1.safetensors"
    path.write_bytes(data)
    assert not is_sound(path)


def test_an_archive_that_would_unpack_to_gigabytes_is_refused_before_it_does(tmp_path):
    path = tmp_path / "probe.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        made = io.BytesIO()
        np.lib.format.write_array_header_1_0(made, {"descr": "|u1", "fortran_order": False, "shape": (2**29,)})
        member.write(made.getvalue())
        for _ in range(2**9):
            member.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(StoreError, match="would unpack to"):
        read_probe(str(path))


def test_a_parquet_file_that_claims_far_more_values_than_it_has_bytes_is_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 7 AS step FROM range(30000000)) TO '{path}' (FORMAT parquet)")
    assert path.stat().st_size < 290_000
    with pytest.raises(StoreError, match="claims 30000000 values"):
        read_table(path)


def test_a_configuration_of_a_billion_layers_is_refused_at_once(tmp_path):
    pytest.importorskip("transformers")
    from geophone.ingest.sources import revisions

    (tmp_path / "step1").mkdir()
    (tmp_path / "step1" / "config.json").write_text('{"model_type": "gpt2", "n_layer": 1000000000}')
    with pytest.raises(StoreError, match="n_layer is 1000000000"):
        revisions(str(tmp_path), ["step1"]).load("step1")


def test_code_that_comes_with_a_model_is_not_run_nor_asked_for(tmp_path):
    pytest.importorskip("transformers")
    from geophone.ingest.sources import revisions

    mark, place = tmp_path / "ran", tmp_path / "model" / "step1"
    place.mkdir(parents=True)
    (place / "config.json").write_text(
        '{"model_type": "odd", "auto_map": {"AutoConfig": "odd.C", "AutoModel": "odd.M"}}'
    )
    (place / "odd.py").write_text(f"open({str(mark)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    with pytest.raises(StoreError, match="cannot be read"):
        revisions(str(tmp_path / "model"), ["step1"]).load("step1")
    assert not mark.exists() and "odd" not in sys.modules
