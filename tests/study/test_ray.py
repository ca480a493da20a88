"""The same study on Ray: the same tables, also when a node is lost."""

import threading
import time

import pytest
from in_turn import InTurn

from geophone.study import Workers, parse_study, run_study

ray = pytest.importorskip("ray")
TEXT = """
name = "rays"
networks = ["mlp_1_digits", "mlp_1_parity"]
steps = 120
probe_samples = 64
[detect]
surrogates = 49
"""


def tables(folder):
    return {
        p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.suffix in (".parquet", ".safetensors")
    }


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    ray.shutdown()
    made.shutdown()


def test_two_runs_on_ray_end_in_the_same_tables(cluster, tmp_path):
    study = parse_study(TEXT, where="here")
    run_study(study, TEXT, tmp_path / "local", until="target", workers=InTurn())
    run_study(study, TEXT, tmp_path / "ray", until="target", workers=Workers(ray=cluster.address))
    assert tables(tmp_path / "ray") == tables(tmp_path / "local")


@pytest.mark.slow
def test_a_lost_node_loses_nothing(cluster, tmp_path):
    text = TEXT.replace("steps = 120", "steps = 1500\nseeds = [0, 1, 2]")
    study = parse_study(text, where="here")
    cluster.add_node(num_cpus=1)
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    folder = tmp_path / "ray"

    def lose() -> None:
        while len(list(folder.glob("runs/*/run.json"))) < 3:
            time.sleep(0.2)
        time.sleep(1)
        cluster.remove_node(doomed, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    run_study(study, text, folder, until="target", workers=Workers(ray=cluster.address))
    thread.join()
    run_study(study, text, tmp_path / "local", until="target")
    assert tables(folder) == tables(tmp_path / "local")
