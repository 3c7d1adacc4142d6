"""The service on two nodes, one of which goes while it is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

TWO_NODES = """
import json, os, sys, time
import ray
from pathlib import Path
from ray import serve
from ray.cluster_utils import Cluster
from serve_asking import asking
from serve_configuration import configuration, free_port
from serve.rollout import deploy

edition = Path(sys.argv[1])
if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 200 << 20})
    second = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    workers = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"], "OMP_NUM_THREADS": "1"}}
    ray.init(address=cluster.address, log_to_driver=False, runtime_env=workers)
    port = free_port()
    config = configuration(edition, port)
    for deployment in config["applications"][0]["deployments"]:
        deployment |= {"num_replicas": 2, "max_replicas_per_node": 1}
    deploy(config, timeout_s=200)
    documents = [json.loads(line) for line in Path(sys.argv[2]).read_text().splitlines()]
    ask = lambda client, number: client.keyphrases([documents[number % len(documents)]])
    with asking(f"http://127.0.0.1:{port}", None, ask) as heard:
        time.sleep(3)
        before = len(heard.answers)
        cluster.remove_node(second, allow_graceful=False)
        at_removal = len(heard.answers)
        end = time.monotonic() + 100
        while len(heard.answers) < at_removal + 200 and time.monotonic() < end:
            time.sleep(0.2)
    answers = [(number % len(documents), answer["results"][0]["keyphrases"]) for number, answer in heard.answers]
    phrases = [(number, [k["phrase"] for k in found]) for number, found in answers]
    found = {"before": before, "after": len(phrases) - at_removal, "answers": phrases}
    Path(sys.argv[3]).write_text(json.dumps(found | {"failures": list(map(str, heard.failures))}))
    serve.shutdown()
    ray.shutdown()
    cluster.shutdown()
"""


def test_a_node_that_goes_while_it_is_asked(small_edition: Path, tmp_path: Path) -> None:
    from serve_configuration import documents_of

    from kartoteka import edition as editions

    folder = tempfile.mkdtemp(prefix="kt-", dir="/tmp")
    (tmp_path / "two_nodes.py").write_text(TWO_NODES)
    lines = "\n".join(json.dumps(document) for document in documents_of(small_edition))
    (tmp_path / "documents.jsonl").write_text(lines)
    path = os.pathsep.join(map(str, [ROOT / "platform", ROOT, ROOT / "tests", ROOT / "tests" / "serve"]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": path, "RAY_TMPDIR": folder, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "two_nodes.py", small_edition, "documents.jsonl", "heard.json"]
    result = subprocess.run(
        command, cwd=tmp_path,
        env=environment, text=True, capture_output=True, timeout=290,
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    heard = json.loads((tmp_path / "heard.json").read_text())
    assert heard["failures"] == []
    assert heard["before"] > 0
    assert heard["after"] >= 200
    rows = editions.open(small_edition).table("keyphrases").to_table().to_pylist()
    expected = [[k["phrase"] for k in row["keyphrases"]] for row in rows]
    assert [number for number, phrases in heard["answers"] if phrases != expected[number]] == []
