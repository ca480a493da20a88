"""A disk that fills up in the middle of a study costs nothing that was good."""

import shutil
import subprocess

import pytest

from geophone.errors import StoreError
from geophone.study import Workers, parse_study, run_study

TEXT = """
name = "full"
networks = ["mlp_1_digits", "mlp_1_parity"]
steps = 300
probe_samples = 64
[detect]
surrogates = 49
"""


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def tables(folder):
    files = [p for p in folder.rglob("*") if p.suffix in (".parquet", ".safetensors")]
    return {p.relative_to(folder): p.read_bytes() for p in files}


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_study_goes_on_with_more_room(small_disk, tmp_path):
    study = parse_study(TEXT, where="here")
    with pytest.raises(StoreError) as caught:
        run_study(study, TEXT, small_disk / "study", until="train", workers=Workers(1))
    said = str(caught.value)
    assert "No space left on device" in said or "could not write" in said, said
    assert "\n" not in said and "Traceback" not in said
    kept = tables(small_disk / "study")
    assert kept
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    run_study(study, TEXT, small_disk / "study", until="train")
    run_study(study, TEXT, tmp_path / "roomy", until="train")
    assert tables(small_disk / "study") == tables(tmp_path / "roomy")
    shutil.rmtree(small_disk / "study")
