"""A study on a Ray cluster of two nodes, of which one is lost while it trains: part of hard_days.py."""

import sys
import threading
import time
from pathlib import Path

from geophone.study import Workers, read_study_file, run_study


def main() -> None:
    import ray
    from ray.cluster_utils import Cluster

    folder = Path(sys.argv[1])
    study, text = read_study_file(Path("hard.toml"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    caught: list[str] = []

    def lose() -> None:
        while not any(folder.glob("runs/*/run.json")):
            time.sleep(0.05)
        time.sleep(0.5)
        caught.extend(p.parent.name for p in folder.glob("runs/*/run.json") if '"running"' in p.read_text())
        cluster.remove_node(doomed, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    run_study(study, text, folder, until="evidence", workers=Workers(ray=cluster.address))
    thread.join()
    ray.shutdown()
    cluster.shutdown()
    print(f"a cluster of two nodes, one removed without notice while {len(caught)} runs were training")
